// The fleet's numbers in, the first view out: rates with their last 15 minutes, health in words, and the ledger.

import { el, setAttribute, setText } from "./dom.js";
import { compact, count, milliseconds, plural, rate, when } from "./format.js";
import { health } from "./health.js";
import { ledgerCard } from "./ledger.js";
import { spark } from "./spark.js";

const NOW = "The whole gateway now; the lines show its last 15 minutes.";
const MANY = 0.1; // of the devices that may send: so many offline are no matter of a few
const OLD_MS = 30_000; // a sample is taken every 5 s
const WINDOW_MS = 15 * 60 * 1000;

const CARDS = [
  {
    name: "Readings",
    unit: "/s",
    field: "readings_per_s",
    format: rate,
    wide: true,
    note: (view) => `${rate(view.rates.messages_per_s)} messages/s`,
  },
  { name: "Requests", unit: "/s", field: "requests_per_s", format: rate },
  {
    name: "Time to commit, p99",
    unit: "ms",
    field: "p99_ms",
    format: milliseconds,
    note: (view) => `p50 ${milliseconds(view.rates.p50_ms)}`,
  },
  { name: "Refused", unit: "/s", field: "refused_per_s", format: rate },
];

export function showOverview(content, { fleet, signal }) {
  const cards = CARDS.map(card);
  const devices = deviceCard();
  const parts = health();
  const ledger = ledgerCard();
  const lead = el("p", { class: "muted lead" });
  const rates = el(
    "section",
    { class: "cards", "aria-label": "Rates now" },
    ...cards.map((one) => one.node),
    devices.node,
  );
  content.append(
    el("h1", {}, "Overview"),
    lead,
    rates,
    el("div", { class: "columns" }, parts.node, ledger.node),
  );
  fleet.watch((view, lost) => {
    const then = lost ?? measuredLast(view);
    setText(lead, then === null ? NOW : `The whole gateway as it was at ${when(then, fleet.now())}: not now.`);
    setAttribute(lead, "data-mark", then === null ? null : "warn");
    setAttribute(rates, "data-stale", then !== null);
    for (const part of [...cards, devices, parts, ledger]) part.update(view, lost);
  }, signal);
}

/** When rates were measured last, if that is longer ago than it should be; else null. */
export function measuredLast({ now, history }) {
  const last = history.ts.at(-1);
  return last !== undefined && Date.parse(now) - last > OLD_MS ? last : null;
}

function card({ name, unit, field, format, wide, note }) {
  const number = el("span", { class: "number" });
  const beside = el("p", { class: "note" });
  const line = spark();
  const node = el(
    "article",
    { class: wide ? "card stat wide" : "card stat" },
    el("h2", {}, name),
    el("p", { class: "figure" }, number, el("span", { class: "unit" }, unit)),
    line.node,
    beside,
  );
  return {
    node,
    update(view) {
      const { ts } = view.history;
      const values = view.history[field];
      const end = ts.at(-1) ?? Date.parse(view.now);
      setText(number, format(view.rates[field]));
      setText(beside, [peak(values, format), note?.(view)].filter(Boolean).join(" · "));
      line.draw(ts, values, [end - WINDOW_MS, end]);
    },
  };
}

function peak(values, format) {
  const high = values.reduce((most, value) => Math.max(most, value ?? -1), -1);
  return high < 0 ? "measuring…" : `peak ${high < 10_000 ? format(high) : compact(high)}`;
}

function deviceCard() {
  const number = el("span", { class: "number" });
  const words = el("span", {});
  const note = el("p", { class: "note" }, el("span", { class: "sign", "aria-hidden": "true" }), words);
  const node = el(
    "article",
    { class: "card stat devices-stat" },
    el("h2", {}, "Devices"),
    el("p", { class: "figure" }, number),
    el("p", { class: "go" }, el("a", { href: "#/devices" }, "Look at devices")),
    note,
  );
  return {
    node,
    update(view) {
      const [mark, sentence] = census(view);
      setText(number, count(view.devices?.total));
      setText(words, sentence);
      setAttribute(note, "data-mark", mark);
    },
  };
}

/** How many devices are offline, and whether those are many. */
export function census({ devices, parts }) {
  if (devices === null) return ["idle", "not counted yet"];
  const { total, enabled, offline } = devices;
  const then = parts.database?.ok ? "" : ", when they could be counted last";
  const disabled = total > enabled ? `, ${plural(total - enabled, "disabled", "disabled")}` : "";
  if (offline === null) return ["idle", `not known how many are offline${disabled}${then}`];
  const mark = offline > 0 && offline >= enabled * MANY ? "warn" : then || enabled === 0 ? "idle" : "good";
  if (offline === 0) return [mark, `none offline${disabled}${then}`];
  return [mark, `${count(offline)} of ${count(enabled)} offline${disabled}${then}`];
}
