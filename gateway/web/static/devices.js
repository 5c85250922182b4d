// A prefix, a tag and a state in, the devices that match out; their ages tick, and what is on screen is heard live.

import { el, follow, setAttribute, setShown, setText } from "./dom.js";
import { ago, plural, when } from "./format.js";
import { repeat } from "./pace.js";
import { devices } from "./pages.js";
import { stream } from "./stream.js";

const PAGE = 100;
const MOST = 1000;
const REFRESH_MS = 10_000;
const TYPING_MS = 200;
const HEARD_LENGTH = 3000; // characters of names that a stream's address may hold

export function showDevices(content, { fleet, signal }) {
  const list = new List(fleet, signal);
  content.append(
    el("h1", {}, "Devices"),
    el(
      "form",
      { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
      field(
        "prefix",
        "Name begins with",
        el("input", {
          id: "prefix",
          type: "search",
          autocomplete: "off",
          spellcheck: "false",
          on: { input: () => list.typed() },
        }),
      ),
      field(
        "tag",
        "Tag",
        el("input", {
          id: "tag",
          type: "search",
          autocomplete: "off",
          spellcheck: "false",
          placeholder: "site:north",
          on: { input: () => list.typed() },
        }),
      ),
      field(
        "state",
        "Show",
        el(
          "select",
          { id: "state", on: { change: () => list.search() } },
          el("option", { value: "" }, "all"),
          el("option", { value: "offline=true" }, "offline"),
          el("option", { value: "offline=false" }, "online"),
          el("option", { value: "enabled=false" }, "disabled"),
        ),
      ),
    ),
    list.problem,
    list.node,
    el("div", { class: "after" }, list.said, list.more),
  );
  repeat(() => list.refresh(), REFRESH_MS, signal);
  repeat(() => list.tick(), 1000, signal);
}

function field(id, label, control) {
  return el("div", { class: "field" }, el("label", { for: id }, label), control);
}

class List {
  #rows = new Map();
  #devices = [];
  #known = new Map();
  #cursor = null;
  #shown = null; // the question that the rows are the answer to
  #seenAt = 0; // and when it came; gateway's clock, epoch ms
  #asked = new AbortController();
  #hearing = new AbortController();
  #heard = "";
  #timer = 0;

  constructor(fleet, signal) {
    this.fleet = fleet;
    this.signal = signal;
    this.problem = el("p", { class: "problem", role: "alert", hidden: true });
    this.said = el("p", { class: "muted", role: "status" }, "Looking…");
    this.more = el(
      "button",
      { type: "button", hidden: true, on: { click: () => this.#load(this.#devices.length + PAGE) } },
      "Show more",
    );
    this.body = el("tbody", {});
    this.table = el(
      "table",
      { class: "devices" },
      el("caption", { class: "heard" }, "Devices"),
      el(
        "thead",
        {},
        el("tr", {}, ...["Device", "Last reading", "Tags"].map((name) => el("th", { scope: "col" }, name))),
      ),
      this.body,
    );
    this.node = el("div", { class: "card flush", hidden: true }, this.table);
    signal.addEventListener(
      "abort",
      () => {
        this.#asked.abort();
        this.#hearing.abort();
        clearTimeout(this.#timer);
      },
      { once: true },
    );
  }

  typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.search(), TYPING_MS);
  }

  search() {
    return this.#load(PAGE);
  }

  refresh() {
    return this.#load(Math.max(PAGE, this.#devices.length));
  }

  /** Ask for the first `wanted` devices; a newer question makes an older one void. */
  async #load(wanted) {
    this.#asked.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    const question = this.#question();
    if (this.#shown !== null && this.#shown !== String(question)) this.#clear();
    try {
      const found = await devices(question, Math.min(wanted, MOST), signal);
      this.#shown = String(question);
      this.#seenAt = this.fleet.now();
      setAttribute(this.node, "data-stale", null);
      this.#show(found);
    } catch (problem) {
      if (signal.aborted || this.signal.aborted) return;
      this.#failed(problem);
    }
  }

  /** Devices that match another question must not stand under this one. */
  #clear() {
    this.#shown = null;
    this.#devices = [];
    this.#known.clear();
    this.#rows = follow(this.body, this.#rows, [], { keyOf: () => "", make: () => null });
    setShown(this.node, false);
    setShown(this.more, false);
    setText(this.said, "Looking…");
  }

  #failed(problem) {
    const shown =
      this.#shown === null ? "" : ` The list is from ${when(this.#seenAt, this.fleet.now())}: who is offline by now is not known.`;
    setText(this.problem, `${problem.message}${shown}`);
    setShown(this.problem, true);
    setAttribute(this.node, "data-stale", true);
    if (this.#shown === null) setText(this.said, "");
  }

  #question() {
    const given = new URLSearchParams(document.getElementById("state").value);
    const [prefix, tag] = ["prefix", "tag"].map((id) => document.getElementById(id).value.trim());
    if (prefix) given.set("prefix", prefix);
    if (tag) given.set("tag", tag.replace("=", ":"));
    return given;
  }

  #show({ devices: found, cursor }) {
    const at = performance.now();
    this.#devices = found.map((device) => ({ ...device, at }));
    this.#known = new Map(this.#devices.map((device) => [device.device, device]));
    this.#cursor = cursor;
    this.#rows = follow(this.body, this.#rows, this.#devices, {
      keyOf: (one) => one.device,
      make: () => row((tag) => this.#filter(tag)),
    });
    setShown(this.problem, false);
    setShown(this.node, found.length > 0);
    setShown(this.more, cursor !== null && found.length < MOST);
    setText(this.said, this.#sentence());
    this.tick();
    this.#hear();
  }

  #sentence() {
    const number = this.#devices.length;
    if (number === 0)
      return this.#question().size
        ? "No device matches. Shorten the name, or take a filter away."
        : "No device is registered yet. Add one: gateway device add NAME";
    if (this.#cursor === null) return `${plural(number, "device", "devices")}.`;
    return number < MOST
      ? `The first ${plural(number, "device", "devices")}.`
      : `The first ${plural(number, "device", "devices")}; type more of the name to find others.`;
  }

  #filter(tag) {
    document.getElementById("tag").value = tag;
    return this.search();
  }

  tick() {
    const now = performance.now();
    for (const device of this.#devices) this.#rows.get(device.device)?.age(device, now);
  }

  /** Hear of changes of the devices on screen, as many as an address can name. */
  #hear() {
    const names = [];
    let length = 0;
    for (const { device } of this.#devices) {
      length += device.length + 1;
      if (length > HEARD_LENGTH) break;
      names.push(device);
    }
    const path = `/v1/stream?snapshot=false&device=${names.map(encodeURIComponent).join(",")}`;
    if (path === this.#heard || !names.length) return;
    this.#heard = path;
    this.#hearing.abort();
    this.#hearing = new AbortController();
    stream(path, {
      signal: this.#hearing.signal,
      onLink: () => {},
      onEvent: (name, data) => name === "change" && this.#changed(data.changes),
    });
  }

  #changed(changes) {
    for (const { device, ts } of changes) {
      const found = this.#known.get(device);
      if (!found || (found.last_seen && ts <= found.last_seen)) continue;
      Object.assign(found, { last_seen: ts, age_ms: this.fleet.age(ts), at: performance.now(), offline: false });
      this.#rows.get(device)?.age(found, found.at);
    }
  }
}

function row(onTag) {
  const name = el("a", {});
  const disabled = el("span", { class: "badge", hidden: true }, "disabled");
  const age = el("span", { class: "age" });
  const tags = el("td", { class: "tags" });
  const node = el(
    "tr",
    {},
    el("th", { scope: "row" }, name, disabled),
    el("td", { class: "seen" }, el("span", { class: "sign", "aria-hidden": "true" }), age),
    tags,
  );
  let shown = "";
  return {
    node,
    update(device) {
      setText(name, device.device);
      setAttribute(name, "href", `#/devices/${encodeURIComponent(device.device)}`);
      setShown(disabled, !device.enabled);
      const pairs = Object.entries(device.tags);
      if (shown === JSON.stringify(pairs)) return;
      shown = JSON.stringify(pairs);
      tags.replaceChildren(...pairs.map(([key, value]) => chip(key, value, onTag)));
    },
    age(device, now) {
      const ms = device.age_ms === null ? null : device.age_ms + (now - device.at);
      setText(age, seen(device, ms));
      setAttribute(node, "data-mark", device.offline ? "bad" : "good");
    },
  };
}

export function seen(device, ms) {
  if (ms === null) return "never";
  return device.offline ? `${ago(ms)}, offline` : ago(ms);
}

function chip(key, value, onTag) {
  const tag = value === "" ? key : `${key}:${value}`;
  return el(
    "button",
    { class: "chip", type: "button", title: "Show devices with this tag", on: { click: () => onTag(tag) } },
    tag,
  );
}
