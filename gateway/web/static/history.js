// A metric and a range in, its chart out, kept up to date by what is heard live. Text is listed: it has no height.

import { Chart } from "./chart.js";
import { el, setAttribute, setShown, setText } from "./dom.js";
import { instant, moment, plural, segment, when } from "./format.js";
import { repeat, sleep } from "./pace.js";
import { ask } from "./session.js";

const MINUTE = 60_000;
const RANGES = [
  { name: "15 min", from: "-15m", ms: 15 * MINUTE },
  { name: "1 h", from: "-1h", ms: 60 * MINUTE },
  { name: "24 h", from: "-24h", ms: 24 * 60 * MINUTE },
  { name: "7 d", from: "-7d", ms: 7 * 24 * 60 * MINUTE },
];
const POINTS = 500;
const REFRESH_MS = 30_000;
const AGAIN_MS = 5000; // after an answer that failed
const SLIDE_MS = 500;
const LISTED = 30;

export class HistoryCard {
  metric = null;
  units = new Map();
  #range = RANGES[0];
  #series = null; // {kind, times, values}
  #seenAt = 0; // of the series, gateway's clock, epoch ms
  #asked = new AbortController();
  #trouble = "";
  #listed = "";

  constructor(device, fleet, signal) {
    this.device = device;
    this.fleet = fleet;
    this.signal = signal;
    this.title = el("h2", { id: "history-title" }, "History");
    this.readout = el("p", { class: "readout", hidden: true }, "\u00a0");
    this.host = el("div", { class: "chart-host" });
    this.words = el("p", { class: "muted chart-words", role: "status" }, "Choose a metric.");
    this.list = el("ol", { class: "changes", hidden: true });
    this.chart = new Chart(this.host, this.readout, signal);
    this.node = el(
      "section",
      { class: "card", "aria-labelledby": "history-title" },
      el("div", { class: "card-head" }, this.title, this.#ranges()),
      el("div", { class: "said-line" }, this.readout, this.words),
      this.host,
      this.list,
    );
    signal.addEventListener("abort", () => this.#asked.abort(), { once: true });
    repeat(() => this.load(), REFRESH_MS, signal);
    repeat(() => this.#slide(), SLIDE_MS, signal);
  }

  #ranges() {
    const choices = RANGES.map((range) =>
      el(
        "label",
        {},
        el("input", {
          type: "radio",
          name: "range",
          value: range.from,
          checked: range === this.#range,
          on: { change: () => this.#wider(range) },
        }),
        el("span", {}, range.name),
      ),
    );
    return el("fieldset", { class: "segments" }, el("legend", { class: "heard" }, "Range"), ...choices);
  }

  #wider(range) {
    this.#range = range;
    this.#begin();
  }

  /** Ask something else: what was drawn belongs to the question before, and goes at once. */
  #begin() {
    this.#series = null;
    this.#trouble = "";
    this.#listed = "";
    this.list.replaceChildren();
    this.chart.clear(`Chart: ${this.metric} is being loaded`);
    this.#say(`Loading ${this.#range.name}…`);
    this.load();
  }

  /** Begin with the first metric that has numbers, once something is known. */
  choose(states) {
    if (this.metric !== null || !states.length) return;
    this.pick((states.find((one) => typeof one.value === "number") ?? states[0]).metric);
  }

  pick(metric) {
    this.metric = metric;
    setText(this.title, metric);
    this.#begin();
  }

  async load() {
    if (this.metric === null) return;
    this.#asked.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    const given = new URLSearchParams({ metric: this.metric, from: this.#range.from, points: String(POINTS) });
    try {
      const { series } = await ask(`/v1/devices/${segment(this.device)}/readings?${given}`, { signal });
      const longest = series.toSorted((a, b) => b.ts.length - a.ts.length)[0];
      this.#series = longest
        ? { kind: longest.kind, times: longest.ts, values: longest.value }
        : { kind: "double", times: [], values: [] };
      this.#seenAt = this.fleet.now();
      this.#trouble = "";
      this.#slide();
    } catch (problem) {
      if (signal.aborted) return;
      this.#failed(problem);
      await sleep(AGAIN_MS, signal);
      if (!signal.aborted && problem.passes) this.load();
    }
  }

  /** Say that the answer failed, and what is shown in its place: nothing, or what was known before. */
  #failed(problem) {
    const shown = this.#series
      ? `What is shown is from ${when(this.#seenAt, this.fleet.now())}, and what came in live since.`
      : "Nothing is shown until it can be read.";
    this.#trouble = `${problem.message} ${shown}`;
    this.#say(this.#trouble);
    if (this.#series === null) this.chart.clear(`Chart: ${this.metric} cannot be read now`);
  }

  /** Put what was just heard at the end; within one five-hundredth of the range the newest stands for all. */
  append({ metric, value, ts }) {
    const series = this.#series;
    if (metric !== this.metric || series === null || (typeof value === "string") !== (series.kind === "text")) return;
    const [at, last, before] = [instant(ts), series.times.at(-1) ?? 0, series.times.at(-2) ?? 0];
    if (at <= last) return;
    if (series.kind === "text" && value === series.values.at(-1)) return;
    if (series.kind !== "text" && at - before < this.#range.ms / POINTS) {
      series.times.pop();
      series.values.pop();
    }
    series.times.push(at);
    series.values.push(value);
  }

  #slide() {
    if (this.#series === null) return;
    const { kind, times, values } = this.#series;
    const to = Math.max(this.fleet.now(), times.at(-1) ?? 0);
    const from = to - this.#range.ms;
    const first = times.findIndex((at) => at >= from);
    const shown = first < 0 ? { times: [], values: [] } : { times: times.slice(first), values: values.slice(first) };
    const text = kind === "text";
    setShown(this.host, !text);
    setShown(this.list, text);
    this.#say(this.#trouble || sentence(shown.times.length, text));
    if (text) return this.#changes(shown);
    const numbers = { times: shown.times, values: shown.values.map(Number) };
    return this.chart.show({
      ...numbers,
      range: [from, to],
      unit: this.units.get(this.metric) ?? "",
      steps: kind === "bool",
      name: this.metric,
    });
  }

  /** Say a sentence in place of the read-out; without one, show that. */
  #say(words) {
    setText(this.words, words);
    setAttribute(this.words, "data-mark", this.#trouble ? "warn" : null);
    setShown(this.words, words !== "");
    setShown(this.readout, words === "");
  }

  #changes({ times, values }) {
    if (this.#listed === times.join()) return;
    this.#listed = times.join();
    const items = times
      .map((at, i) => ({ at, value: values[i] }))
      .reverse()
      .slice(0, LISTED);
    this.list.replaceChildren(
      ...items.map(({ at, value }) => el("li", {}, el("span", { class: "when" }, moment(at)), " ", String(value))),
    );
  }
}

function sentence(points, text) {
  if (points === 0) return "Nothing was reported in this range. Try a longer one.";
  return text ? `${plural(points, "change", "changes")}, newest first.` : "";
}
