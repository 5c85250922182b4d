// The parts of /v1/fleet in, one calm row each out: a mark, a word and a sentence that says what it means.

import { el, setAttribute, setText } from "./dom.js";
import { bytes, percent, plural, when } from "./format.js";

const DATABASES = {
  "timescaledb-community": "TimescaleDB",
  "timescaledb-apache": "TimescaleDB (Apache)",
};
const MARKS = { good: "Well", idle: "Off", warn: "Look", bad: "Down" };

const ROWS = [
  { name: "Database", say: database },
  { name: "Redis", say: redis },
  { name: "MQTT", say: mqtt },
  { name: "Queue", say: queue },
  { name: "Spool", say: spool },
];

export function health() {
  const verdict = el("p", { class: "verdict" });
  const rows = ROWS.map((row) => ({ ...row, ...line(row.name) }));
  const node = el(
    "section",
    { class: "card", "aria-labelledby": "health-title" },
    el("h2", { id: "health-title" }, "Health"),
    verdict,
    el("ul", { class: "parts" }, ...rows.map((row) => row.node)),
  );
  return {
    node,
    update(view, lost = null) {
      setText(verdict, lost === null ? verdictOf(view) : past(lost));
      setAttribute(verdict, "data-mark", lost === null && view.status === "ready" ? null : "warn");
      for (const row of rows) {
        const [mark, sentence] = row.say(view);
        setAttribute(row.node, "data-mark", lost === null ? mark : "idle");
        setText(row.mark, lost === null ? MARKS[mark] : "Not known");
        setText(row.sentence, sentence);
      }
    },
  };
}

function verdictOf({ status }) {
  switch (status) {
    case "ready":
      return "Ready: readings are taken in and made durable.";
    case "degraded":
      return "Degraded: readings are taken in and made durable, but not all is well.";
    case "draining":
      return "Stopping: what was begun is served, and no new traffic taken.";
    default:
      return "Not ready: send devices elsewhere until the parts below are well.";
  }
}

function past(lost) {
  return `Not known: the gateway does not answer. What follows it said at ${when(lost, Date.now())}.`;
}

function line(name) {
  const mark = el("span", { class: "mark-word" });
  const sentence = el("p", { class: "sentence" });
  const node = el(
    "li",
    { class: "part" },
    el("span", { class: "sign", "aria-hidden": "true" }),
    el("div", {}, el("h3", {}, name), mark),
    sentence,
  );
  return { node, mark, sentence };
}

/** What the gateway says of a part that is not well; a word of ours where it says nothing. */
function troubled({ parts, degraded }, name) {
  const part = parts[name];
  if (!part) return ["bad", parts.health?.error ?? "It gives no account of itself; look at the log of the gateway."];
  const said = degraded.filter((one) => one.part === name).map((one) => one.what);
  if (said.length) return [part.ok ? "warn" : "bad", said.join(" ")];
  return part.ok ? null : ["bad", sentence(part.error ?? "It is not well; look at the log of the gateway.")];
}

function database(view) {
  const trouble = troubled(view, "database");
  if (trouble) return trouble;
  const part = view.parts.database;
  const kind = DATABASES[part.kind] ?? part.kind;
  const version = String(part.postgres).split(" ")[0]; // Debian says more
  const versions = part.timescaledb
    ? `${kind} ${part.timescaledb} on PostgreSQL ${version}`
    : `PostgreSQL ${version}, without TimescaleDB`;
  return ["good", `Answers. ${versions}.`];
}

function redis(view) {
  const trouble = troubled(view, "redis");
  if (trouble) return view.parts.redis ? ["warn", trouble[1]] : trouble; // what is taken in does not depend on it
  return view.parts.redis.complete === false
    ? ["warn", "It is not known to hold the whole newest state."]
    : ["good", "Holds the whole newest state."];
}

function mqtt(view) {
  const trouble = troubled(view, "mqtt");
  if (trouble) return trouble;
  return view.parts.mqtt.consumes
    ? ["good", "Connected to the broker."]
    : ["idle", "No broker is set (mqtt.url); devices send over HTTP."];
}

function queue(view) {
  const trouble = troubled(view, "queue");
  if (trouble) return trouble;
  const { queue_bytes: size } = view.waiting;
  const rows = Math.max(view.waiting.queue_rows, view.parts.queue.rows ?? 0); // of all, 5 s ago; of one, now
  if (!rows) return ["good", "Nothing waits for a commit."];
  return [
    "good",
    `${plural(rows, "message is", "messages are")} on the way to a commit${size ? ` (${bytes(size)})` : ""}.`,
  ];
}

/** How much waits, how full it is; and of the other workers, what this one cannot know. */
function spool(view) {
  const trouble = troubled(view, "spool");
  const part = view.parts.spool;
  if (!part) return trouble;
  const { spool_rows: all, spool_bytes: size } = view.waiting;
  const waits = `${plural(all, "message waits", "messages wait")} on disk (${bytes(size)})`;
  if (trouble) {
    const others = all > part.rows ? ` In all workers together ${waits}.` : "";
    return [trouble[0], `${trouble[1]}${others} ${fullness(part)}`];
  }
  if (all > 0) return ["warn", `${waits}, in other workers than the one that answers. ${fullness(part)}`];
  return ["good", `Empty; room for ${bytes(part.room_bytes)} in each worker.`];
}

function fullness({ room_bytes: room, max_bytes: most }) {
  if (!most) return "";
  return `Its file may take ${bytes(most)}: ${percent(Math.max(0, 1 - room / most))} full, room for ${bytes(Math.max(0, room))}.`;
}

/** An error of the gateway, written as a sentence. */
function sentence(error) {
  const text = error.charAt(0).toUpperCase() + error.slice(1);
  return text.endsWith(".") ? text : `${text}.`;
}
