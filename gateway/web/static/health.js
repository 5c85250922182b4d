// The parts of /v1/fleet in, one calm row each out: a mark, a word and a sentence that says what it means.

import { el, setAttribute, setText } from "./dom.js";
import { bytes, plural, span } from "./format.js";

const GROUNDS = {
  "timescaledb-community": "TimescaleDB",
  "timescaledb-apache": "TimescaleDB (Apache)",
  postgresql: "PostgreSQL without TimescaleDB",
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
    update(view) {
      setText(
        verdict,
        view.ready
          ? "Ready: readings are taken in and made durable."
          : "Not ready: send devices elsewhere until the parts below are well.",
      );
      for (const row of rows) {
        const [mark, sentence] = row.say(view);
        setAttribute(row.node, "data-mark", mark);
        setText(row.mark, MARKS[mark]);
        setText(row.sentence, sentence);
      }
    },
  };
}

function line(name) {
  const mark = el("span", { class: "mark-word" });
  const sentence = el("p", { class: "sentence" });
  const node = el(
    "li",
    { class: "part" },
    el("span", { class: "sign", "aria-hidden": "true" }),
    el("h3", {}, name),
    mark,
    sentence,
  );
  return { node, mark, sentence };
}

function unknown({ parts }) {
  return ["bad", parts.health?.error ?? "It gives no account of itself; look at the log of the gateway."];
}

function database(view) {
  const part = view.parts.database;
  if (!part) return unknown(view);
  if (!part.ok) return ["bad", `${sentence(part.error ?? "it does not answer")} Readings go to the spool meanwhile.`];
  const ground = GROUNDS[part.ground] ?? part.ground;
  const version = String(part.postgres).split(" ")[0]; // Debian says more
  const versions = part.timescaledb
    ? `${ground} ${part.timescaledb} on PostgreSQL ${version}`
    : `${ground} ${version}`;
  return ["good", `Commits. ${versions}.`];
}

function redis(view) {
  const part = view.parts.redis;
  if (!part) return unknown(view);
  if (part.error) return ["warn", `${sentence(part.error)} The newest state comes from the database, more slowly.`];
  if (part.rebuilding) {
    const done = part.total ? `: ${part.done} of ${part.total} series` : "";
    return ["warn", `The newest state is being rebuilt${done}. Until then the database tells it.`];
  }
  if (!part.ok) {
    const behind = plural(part.behind_rows ?? 0, "message waits", "messages wait");
    return ["warn", `It is not known to hold the whole newest state; the database tells it. ${behind} for it.`];
  }
  return ["good", "Holds the whole newest state."];
}

function mqtt(view) {
  const part = view.parts.mqtt;
  if (!part) return unknown(view);
  if (!part.consumes) return ["idle", "No broker is set (mqtt.url); devices send over HTTP."];
  if (!part.ok)
    return [
      "bad",
      `${sentence(part.error ?? "no connection to the broker")} It connects again by itself; HTTP works.`,
    ];
  return ["good", "Connected to the broker."];
}

function queue(view) {
  const part = view.parts.queue;
  if (!part) return unknown(view);
  if (part.stalled_secs > 0) {
    const stalled = span(part.stalled_secs * 1000);
    return ["bad", `Readings came in and none became durable for ${stalled}. Look at the database and the log.`];
  }
  const { queue_rows: rows, queue_bytes: size } = view.waiting;
  if (!rows) return ["good", "Nothing waits for a commit."];
  return [
    "good",
    `${plural(rows, "message is", "messages are")} on the way to a commit${size ? ` (${bytes(size)})` : ""}.`,
  ];
}

function spool(view) {
  const part = view.parts.spool;
  if (!part) return unknown(view);
  const { spool_rows: rows, spool_bytes: size } = view.waiting;
  if (part.error) return ["warn", sentence(part.error)];
  if (!part.ok)
    return ["bad", "Full, or nearly: while the database is away readings are answered 503. Raise spool.max_bytes."];
  if (rows)
    return ["warn", `${plural(rows, "message waits", "messages wait")} on disk for the database (${bytes(size)}).`];
  return ["good", `Empty; room for ${bytes(part.room_bytes)} in each worker.`];
}

/** An error of the gateway, written as a sentence. */
function sentence(error) {
  const text = error.charAt(0).toUpperCase() + error.slice(1);
  return text.endsWith(".") ? text : `${text}.`;
}
