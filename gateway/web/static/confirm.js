// A question in, yes or no out, by a dialog that the keyboard stays inside of. Escape is no.

import { el } from "./dom.js";

export function confirmed(title, words, yes) {
  return new Promise((resolve) => {
    const dialog = el(
      "dialog",
      { class: "dialog", "aria-labelledby": "dialog-title", on: { close: () => done(dialog.returnValue === "yes") } },
      el("h2", { id: "dialog-title" }, title),
      el("p", {}, words),
      el(
        "div",
        { class: "actions" },
        el("button", { type: "button", class: "primary", on: { click: () => dialog.close("yes") } }, yes),
        el("button", { type: "button", on: { click: () => dialog.close("") } }, "Cancel"),
      ),
    );
    const asker = document.activeElement;
    document.body.append(dialog);
    dialog.showModal();

    function done(answer) {
      dialog.remove();
      asker?.focus();
      resolve(answer);
    }
  });
}
