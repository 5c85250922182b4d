// A key typed in, the first look at the fleet out; or, in words, why not. The key goes to the session and nowhere else.

import { el, setShown, setText } from "./dom.js";
import { ask, signIn, signOut } from "./session.js";

const ANOTHER = "Look for a typing mistake, or have a new one made: gateway key add --role reader";

/** Ask for a key; `problem` says why, if somebody was signed in before. */
export function askForKey(content, { onEnter, onSignedOut, problem }) {
  const said = el("p", { class: "problem", role: "alert", id: "login-problem", hidden: true });
  const field = el("input", {
    id: "key",
    type: "password",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "key-hint login-problem",
  });
  const button = el("button", { class: "primary", type: "submit" }, "Sign in");
  const form = el(
    "form",
    { class: "login card" },
    el("h1", {}, "Device gateway"),
    el("p", { class: "muted" }, "Rates, health, devices and dead letters of this gateway."),
    el("label", { for: "key" }, "Key"),
    field,
    el(
      "p",
      { class: "hint", id: "key-hint" },
      "A reader or admin key. It stays in the memory of this page and is gone when you close or reload it.",
    ),
    said,
    button,
  );
  const tell = (words) => {
    setText(said, words);
    setShown(said, words !== "");
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = field.value.trim();
    if (button.disabled || key === "") return;
    button.disabled = true;
    signIn(key, () => {});
    try {
      const first = await ask("/v1/fleet");
      field.value = "";
      signIn(key, onSignedOut);
      content.replaceChildren();
      onEnter(first, first.role);
    } catch (refused) {
      signOut();
      tell(why(refused));
      field.select();
    } finally {
      button.disabled = false;
    }
  });
  content.replaceChildren(form);
  tell(problem ? "You were signed out: the key is not valid any more. Enter another one." : "");
  field.focus();
}

function why(problem) {
  if (problem.code === "bad_key") return problem.message;
  if (problem.status === 401) return `This key is not known here, or was revoked. ${ANOTHER}`;
  if (problem.status === 403) return "This key may not see the fleet. Use a reader or an admin key.";
  return `${problem.message} Try again in a moment.`;
}
