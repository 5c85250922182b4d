// What is not well in, a bar above every view out: what, since when, in words. Nothing is shown while all is well.

import { el, follow, setAttribute, setShown, setText } from "./dom.js";
import { span, when } from "./format.js";

export const NAMES = {
  database: "Database",
  redis: "Redis",
  mqtt: "MQTT",
  queue: "Queue",
  spool: "Spool",
  health: "Health",
};
const FIRST = /(?<=[.!?]) (?=[A-Z])/; // after the first sentence: the rest stands in the overview
const STATES = {
  degraded: ["warn", "Degraded", "Readings are taken in and made durable as ever, but this needs a look."],
  unready: ["bad", "Not ready", "Readings are not taken in now: send devices elsewhere until this is well."],
  draining: ["warn", "Stopping", "This worker stops and takes no new traffic."],
};

export function nameOf(part) {
  return NAMES[part] ?? part;
}

/** The bar: `update(view, now)` for what the gateway says, `lost(at, sentence)` while it says nothing. */
export class TroubleBar {
  #rows = new Map();
  #said = "";

  /** `node` is what is seen; `heard` is read out when something begins or is over, not at every change of a number. */
  constructor(node, heard) {
    this.node = node;
    this.heard = heard;
    this.title = el("strong", {});
    this.means = el("span", {});
    this.list = el("ul", {});
    const sign = el("span", { class: "sign", "aria-hidden": "true" });
    this.more = el("a", { href: "#/" }, "What to do");
    const line = el("p", {}, sign, this.title, " ", this.means, " ", this.more);
    node.replaceChildren(el("div", { class: "trouble-in" }, line, this.list));
  }

  update({ status, degraded }, now) {
    const [mark, word, means] = STATES[status] ?? ["good", "Ready", ""];
    const first = degraded.map((one) => Date.parse(one.since)).sort((a, b) => a - b)[0];
    const since = first === undefined || status !== "degraded" ? "" : ` since ${when(first, now)}`;
    this.#show(mark, `${word}${since}.`, means, degraded, now);
    const parts = [...new Set(degraded.map((one) => nameOf(one.part)))].join(", ");
    this.#say(status, parts ? `${word}: ${parts}. ${means}` : `${word}. ${means}`);
  }

  lost(at, now) {
    const since = when(at, now);
    const means = `What is shown below is from then, and may not be so any more.`;
    this.#show("bad", `No answer since ${since}.`, means, [], now);
    this.#say("lost", `No answer from the gateway since ${since}.`);
  }

  hide() {
    setShown(this.node, false);
    setText(this.heard, "");
    this.#said = "";
  }

  #show(mark, title, means, troubles, now) {
    setAttribute(this.node, "data-mark", mark);
    setText(this.title, title);
    setText(this.means, means);
    const items = troubles.map((one, i) => ({ ...one, key: `${one.part} ${i}`, now }));
    this.#rows = follow(this.list, this.#rows, items, { keyOf: (one) => one.key, make: line });
    setShown(this.list, items.length > 0);
    setShown(this.more, items.length > 0);
    setShown(this.node, mark !== "good");
  }

  /** Read out; the first look of all, when all is well, is nothing new. */
  #say(state, words) {
    const news = `${state} ${words.split(". ")[0]}`;
    if (this.#said === news) return;
    if (this.#said || state !== "ready") setText(this.heard, words);
    this.#said = news;
  }
}

function line() {
  const name = el("strong", {});
  const since = el("span", { class: "since" });
  const what = el("span", {});
  return {
    node: el("li", {}, name, " ", since, " ", what),
    update({ part, what: words, since: at, now }) {
      setText(name, nameOf(part));
      setText(since, `since ${when(Date.parse(at), now)} (${span(Math.max(0, now - Date.parse(at)))})`);
      setText(what, words.split(FIRST)[0]);
    },
  };
}
