// A device's name in, its newest values ticking and a chart of one metric out. Values are drawn once a frame at most.

import { el, follow, setAttribute, setShown, setText } from "./dom.js";
import { ago, segment, value as words, when } from "./format.js";
import { HistoryCard } from "./history.js";
import { oncePerFrame, repeat } from "./pace.js";
import { ask } from "./session.js";
import { stream } from "./stream.js";

const FACTS_MS = 30_000;
const POLL_MS = 2000;

export function showDevice(content, { fleet, signal, parameters: [name] }) {
  const view = new Device(name, fleet, signal);
  content.append(
    el("p", { class: "back" }, el("a", { href: "#/devices" }, "Devices")),
    el("div", { class: "title" }, el("h1", {}, name), view.badge, view.status),
    view.tags,
    view.problem,
    view.columns,
  );
  view.listen();
  repeat(() => view.facts(), FACTS_MS, signal);
  repeat(() => view.poll(), POLL_MS, signal);
  repeat(() => view.draw(), 1000, signal);
}

class Device {
  #values = new Map(); // metric → {metric, value, ts, kind}
  #units = new Map();
  #rows = new Map();
  #offline = null; // until the gateway has said it; and again while it cannot say
  #heardAt = 0; // when the gateway told values last; its clock, epoch ms
  #troubles = {};
  #frame = oncePerFrame(() => this.draw());

  constructor(name, fleet, signal) {
    this.name = name;
    this.fleet = fleet;
    this.signal = signal;
    this.path = `/v1/devices/${segment(name)}`;
    this.history = new HistoryCard(name, fleet, signal);
    this.badge = el("span", { class: "badge", hidden: true }, "disabled");
    this.status = el(
      "p",
      { class: "status" },
      el("span", { class: "sign", "aria-hidden": "true" }),
      el("span", {}, "…"),
    );
    this.tags = el("p", { class: "tags" });
    this.problem = el("p", { class: "problem", role: "alert", hidden: true });
    this.empty = el("p", { class: "muted" }, "Waiting for values…");
    this.body = el("tbody", {});
    this.node = el(
      "section",
      { class: "card", "aria-labelledby": "values-title" },
      el("h2", { id: "values-title" }, "Newest values"),
      this.empty,
      el(
        "table",
        { class: "values" },
        el("thead", {}, el("tr", {}, ...["Metric", "Value", "Age"].map((one) => el("th", { scope: "col" }, one)))),
        this.body,
      ),
    );
    this.columns = el("div", { class: "device-columns" }, this.node, this.history.node);
  }

  /** Registry facts: tags, units, whether it may send. */
  async facts() {
    try {
      const found = await ask(this.path, { signal: this.signal });
      setShown(this.columns, true);
      this.#offline = found.offline;
      setShown(this.badge, !found.enabled);
      this.tags.replaceChildren(
        ...Object.entries(found.tags).map(([key, value]) =>
          el("span", { class: "chip" }, value === "" ? key : `${key}:${value}`),
        ),
      );
      for (const { metric, unit } of found.metrics) this.#units.set(metric, unit ?? "");
      this.history.units = this.#units;
      this.#tell("facts", "");
      this.#frame();
    } catch (problem) {
      if (this.signal.aborted) return;
      this.#offline = null;
      const gone = problem.status === 404;
      if (gone) setShown(this.columns, false);
      this.#tell("facts", problem.message, gone ? "" : "Whether it is offline is not known now.");
      this.#frame();
    }
  }

  /** Hear of changes. */
  listen() {
    stream(`/v1/stream?device=${encodeURIComponent(this.name)}`, {
      signal: this.signal,
      onEvent: (event, data) => this.#event(event, data),
      onLink: (up) => setAttribute(this.node, "data-live", up ? "yes" : null),
    });
  }

  #event(event, data) {
    if (event === "reset") this.#heard(listed(data.states[this.name] ?? {}));
    if (event !== "change") return;
    for (const { device, ts, values } of data.changes) {
      if (device !== this.name) continue;
      this.#offline = false;
      this.#heard(Object.entries(values).map(([metric, value]) => ({ metric, value, ts })));
    }
  }

  /** Ask, while no stream is to be had: too many are open, or it has just broken off. */
  async poll() {
    if (this.node.dataset.live || this.columns.hidden) return;
    try {
      const { metrics } = await ask(`${this.path}/state`, { signal: this.signal });
      this.#heard(listed(metrics));
    } catch (problem) {
      if (this.signal.aborted) return;
      this.#offline = null;
      const then = this.#heardAt ? `What is shown is what was known at ${when(this.#heardAt, this.fleet.now())}.` : "";
      this.#tell("values", problem.message, then);
    }
  }

  /** Take values that the gateway has just told. */
  #heard(states) {
    this.#heardAt = this.fleet.now();
    this.#tell("values", "");
    this.#take(states);
  }

  /** Keep what is newer than what is known. */
  #take(states) {
    for (const state of states) {
      const known = this.#values.get(state.metric);
      if (known && known.ts > state.ts) continue;
      this.#values.set(state.metric, state);
      this.history.append(state);
    }
    this.#frame();
  }

  /** Say what cannot be known now, of `facts` or of `values`; "" when it can. */
  #tell(what, words, then = "") {
    this.#troubles[what] = [words, then];
    const [first, second] = [0, 1].map((i) => Object.values(this.#troubles).map((one) => one[i]));
    const said = [...new Set([...first, ...second])].filter(Boolean).join(" ");
    setShown(this.problem, said !== "");
    setText(this.problem, said);
  }

  draw() {
    const states = [...this.#values.values()].sort((a, b) => (a.metric < b.metric ? -1 : 1));
    setShown(this.empty, states.length === 0);
    this.#rows = follow(this.body, this.#rows, states, { keyOf: (one) => one.metric, make: (one) => this.#row(one) });
    this.history.choose(states);
    const newest = states.reduce((most, one) => (one.ts > most ? one.ts : most), "");
    const standing = { true: ["bad", ", offline"], false: ["good", ""] }[this.#offline] ?? ["idle", ", not known now"];
    setText(
      this.status.lastChild,
      newest
        ? `last reading ${ago(this.fleet.age(newest))}${standing[1]}`
        : this.#heardAt
          ? "no readings yet"
          : "…",
    );
    setAttribute(this.status, "data-mark", standing[0]);
  }

  #row({ metric }) {
    const pick = el("input", {
      type: "radio",
      name: "metric",
      value: metric,
      on: { change: () => this.history.pick(metric) },
    });
    const number = el("span", { class: "value" });
    const unit = el("span", { class: "unit" });
    const age = el("td", { class: "age" });
    const node = el(
      "tr",
      {},
      el("th", { scope: "row" }, el("label", {}, pick, el("span", {}, metric))),
      el("td", {}, number, " ", unit),
      age,
    );
    return {
      node,
      update: (state) => {
        setText(number, words(state.value));
        setText(unit, this.#units.get(metric) ?? "");
        setText(age, ago(this.fleet.age(state.ts)));
        if (this.history.metric === metric && !pick.checked) pick.checked = true;
      },
    };
  }
}

function listed(states) {
  return Object.entries(states).map(([metric, state]) => ({ metric, ...state }));
}
