// Dead letters in, a list with reasons and payloads out; one can be taken in once more, after a question. For admins.

import { confirmed } from "./confirm.js";
import { el, follow, setShown, setText } from "./dom.js";
import { ago, bytes, count, moment, plural, when } from "./format.js";
import { repeat, sleep } from "./pace.js";
import { ask } from "./session.js";

const PAGE = 50;
const MOST = 500;
const REFRESH_MS = 5000;
const READ_MS = 4000; // to read what a replay did, before its letter leaves the list

export function showDead(content, { fleet, signal }) {
  content.append(el("h1", {}, "Dead letters"));
  if (fleet.role !== "admin") {
    content.append(
      el(
        "p",
        { class: "words card" },
        "Dead letters hold what devices sent, so only an admin key may see them. Sign out, and in again with one.",
      ),
    );
    return;
  }
  const list = new Letters(fleet, signal);
  content.append(
    el(
      "p",
      { class: "muted lead" },
      "What was refused over MQTT, where nobody reads an answer, and what the database itself refused.",
      " Remove the cause, then replay: nothing is stored twice by it.",
    ),
    el(
      "form",
      { class: "filters", on: { submit: (event) => event.preventDefault() } },
      el("label", { class: "check" }, list.all, "also those that were replayed"),
    ),
    list.problem,
    list.node,
    el("div", { class: "after" }, list.said, list.more),
  );
  repeat(() => list.load(), REFRESH_MS, signal);
}

class Letters {
  #rows = new Map();
  #wanted = PAGE;
  #shown = null; // whether the list holds replayed ones, too
  #seenAt = 0; // gateway's clock, epoch ms
  #asked = new AbortController();

  constructor(fleet, signal) {
    this.fleet = fleet;
    this.signal = signal;
    this.all = el("input", { type: "checkbox", on: { change: () => this.load() } });
    this.problem = el("p", { class: "problem", role: "alert", hidden: true });
    this.said = el("p", { class: "muted", role: "status" }, "Looking…");
    this.more = el("button", { type: "button", hidden: true, on: { click: () => this.#longer() } }, "Show more");
    this.node = el("ul", { class: "card flush letters", hidden: true });
    signal.addEventListener("abort", () => this.#asked.abort(), { once: true });
  }

  #longer() {
    this.#wanted += PAGE;
    return this.load();
  }

  async load() {
    this.#asked.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    const all = this.all.checked;
    if (this.#shown !== null && this.#shown !== all) this.#clear();
    try {
      const given = new URLSearchParams({ limit: String(Math.min(MOST, this.#wanted)) });
      if (!all) given.set("replayed", "false");
      const page = await ask(`/v1/dead-letters?${given}`, { signal });
      this.#shown = all;
      this.#seenAt = this.fleet.now();
      this.#show(page.dead_letters, page.next_cursor);
    } catch (problem) {
      if (signal.aborted) return;
      const shown = this.#shown === null ? "" : ` The list is from ${when(this.#seenAt, this.fleet.now())}.`;
      setText(this.problem, `${problem.message}${shown}`);
      setShown(this.problem, true);
      if (this.#shown === null) setText(this.said, "");
    }
  }

  /** What answers another question goes at once. */
  #clear() {
    this.#shown = null;
    this.#rows = follow(this.node, this.#rows, [], { keyOf: () => "", make: () => null });
    setShown(this.node, false);
    setShown(this.more, false);
    setText(this.said, "Looking…");
  }

  #show(letters, cursor) {
    const make = (letter) => row(letter, { fleet: this.fleet, signal: this.signal, onReplayed: () => this.load() });
    this.#rows = follow(this.node, this.#rows, letters, { keyOf: (letter) => letter.id, make });
    setShown(this.problem, false);
    setShown(this.node, letters.length > 0);
    setShown(this.more, cursor !== null && this.#wanted < MOST);
    if (letters.length === 0)
      setText(
        this.said,
        this.all.checked
          ? "There are no dead letters."
          : "No dead letter is open: nothing that devices sent lies refused.",
      );
    else
      setText(
        this.said,
        cursor === null
          ? `${plural(letters.length, "letter", "letters")}.`
          : `The newest ${plural(letters.length, "letter", "letters")}.`,
      );
  }
}

function row(first, { fleet, signal, onReplayed }) {
  const [code, device, detail, when] = ["strong", "span", "span", "span"].map((tag, i) =>
    el(tag, { class: ["code", "whose", "detail", "when"][i] }),
  );
  const inside = el("div", { class: "letter" });
  const open = el(
    "details",
    { on: { toggle: () => open.open && !inside.firstChild && fill(inside, first, { signal, onReplayed }) } },
    el("summary", {}, code, device, when, detail),
    inside,
  );
  return {
    node: el("li", {}, open),
    update(letter) {
      setText(code, letter.code);
      setText(device, letter.device ?? letter.topic ?? letter.source);
      setText(detail, letter.detail);
      const times = letter.count > 1 ? `${count(letter.count)} times, ` : "";
      setText(when, letter.replayed_at ? "replayed" : `${times}${ago(fleet.age(letter.last_at))}`);
    },
  };
}

/** The whole letter, asked for when somebody opens it. */
async function fill(inside, { id }, { signal, onReplayed }) {
  const said = el("p", { class: "said", role: "status" });
  inside.replaceChildren(said);
  setText(said, "Looking…");
  try {
    const letter = await ask(`/v1/dead-letters/${id}`, { signal });
    const button = el(
      "button",
      { type: "button", class: "primary", on: { click: () => replay(letter, { button, said, signal, onReplayed }) } },
      "Replay",
    );
    setText(said, letter.replayed_at ? "Replayed before. Replaying again stores nothing twice." : "");
    inside.replaceChildren(facts(letter), payload(letter), el("div", { class: "actions" }, button, said));
  } catch (problem) {
    if (!signal.aborted) setText(said, problem.message);
  }
}

function facts(letter) {
  const pairs = [
    ["Letter", String(letter.id)],
    ["Came over", letter.source],
    ["Topic", letter.topic],
    ["First", moment(Date.parse(letter.first_at))],
    ["Last", moment(Date.parse(letter.last_at))],
    ["Size", bytes(letter.size)],
  ];
  return el(
    "dl",
    { class: "facts" },
    ...pairs
      .filter(([, words]) => words)
      .map(([name, words]) => el("div", {}, el("dt", {}, name), el("dd", {}, words))),
  );
}

function payload({ payload: text, encoding }) {
  return el(
    "div",
    {},
    el("h2", { class: "small" }, encoding === "base64" ? "Payload, as Base64: it is not UTF-8" : "Payload"),
    el("pre", { tabindex: 0, "aria-label": "Payload" }, encoding === "base64" ? text : laidOut(text)),
  );
}

/** JSON with line breaks; anything else, and what would come out changed, as it is. */
function laidOut(text) {
  try {
    const parsed = JSON.parse(text);
    return bare(JSON.stringify(parsed)) === bare(text) ? JSON.stringify(parsed, null, 2) : text;
  } catch {
    return text;
  }
}

function bare(text) {
  return text.replaceAll(/\s+/g, "");
}

async function replay(letter, { button, said, signal, onReplayed }) {
  const whose = letter.device ? ` for device ${letter.device}` : "";
  const what = `The original bytes are taken in once more${whose}, as an admin would send them.`;
  const harm = "What is stored already is absorbed as a duplicate.";
  if (!(await confirmed(`Replay letter ${letter.id}?`, `${what} ${harm}`, "Replay"))) return;
  button.disabled = true;
  setText(said, "Replaying…");
  try {
    const { receipt } = await ask(`/v1/dead-letters/${letter.id}:replay`, { method: "POST", signal });
    const safe = plural(receipt.accepted, "reading is", "readings are");
    setText(said, `Replayed: ${safe} safe now, ${count(receipt.duplicates)} of them stored before.`);
    sleep(READ_MS, signal).then(() => signal.aborted || onReplayed());
  } catch (problem) {
    if (!signal.aborted)
      setText(said, problem.status === 422 ? `Refused again: ${problem.message}` : problem.message);
  } finally {
    button.disabled = false;
  }
}
