// The ledger in, the ledger as people read it out: what became of every reading since the gateway started, as a bar and a table.

import { el, follow, setShown, setText } from "./dom.js";
import { count, percent, plural, when } from "./format.js";

const TERMS = [
  ["stored", "Stored", "in the database"],
  ["duplicates", "Duplicates", "were stored already"],
  ["spooled", "Spooled", "acknowledged from the disk"],
  ["conflicts", "Conflicts", "other values are stored already"],
  ["refused", "Refused", "the sender was told"],
  ["dead_lettered", "Dead letters", "kept to look at and to replay"],
  ["failed", "Failed", "to be sent again"],
  ["queued", "On the way", "not answered yet"],
  ["interrupted", "Interrupted", "a worker had them when it was killed"],
];
const ALWAYS = ["stored", "duplicates", "refused"];
const SOURCES = { http: "HTTP", mqtt: "MQTT", replay: "Replays" };

export function ledgerCard() {
  const received = el("strong", {});
  const upTo = el("span", {});
  const drained = el("p", { class: "note" });
  const bar = new Bar();
  const table = new Table();
  const node = el(
    "section",
    { class: "card", "aria-labelledby": "ledger-title" },
    el("h2", { id: "ledger-title" }, "Ledger"),
    el("p", { class: "verdict" }, received, " readings were taken in since the gateway started", upTo, "."),
    bar.node,
    table.node,
    drained,
  );
  return {
    node,
    update({ ledger }, lost = null) {
      setText(received, count(ledger.total.received));
      setText(upTo, lost === null ? "" : `, up to ${when(lost, Date.now())}`);
      bar.update(ledger.total);
      table.update(ledger);
      const left = Object.values(ledger.from_spool).reduce((sum, one) => sum + one, 0);
      const moved = `${plural(left, "reading", "readings")} went from the spool to the database`;
      setShown(drained, left > 0);
      setText(drained, `${moved}, ${count(ledger.from_spool.stored)} of them new.`);
    },
  };
}

/** One bar of all fates. Widths go to the style object, which the policy allows; a style attribute it would not. */
class Bar {
  constructor() {
    this.parts = TERMS.map(([field]) => ({ field, node: el("span", { class: `share ${field}` }) }));
    this.node = el("div", { class: "bar", "aria-hidden": "true" }, ...this.parts.map(({ node }) => node));
  }

  update(total) {
    for (const { field, node } of this.parts) {
      const width = `${((total[field] / total.received || 0) * 100).toFixed(2)}%`;
      if (node.style.width !== width) node.style.width = width;
      setShown(node, total[field] > 0);
    }
  }
}

/** A row for each fate that readings met, a column for each source they came from. */
class Table {
  #rows = new Map();
  #sources = [];

  constructor() {
    this.head = el("tr", {});
    this.body = el("tbody", {});
    this.node = el("table", { class: "ledger" }, el("thead", {}, this.head), this.body);
  }

  update(ledger) {
    const sources = Object.keys(ledger.sources).filter((one) => one !== "replay" || ledger.sources[one].received > 0);
    if (sources.join() !== this.#sources.join() || !this.head.firstChild) this.#divide(sources);
    const terms = TERMS.filter(([field]) => ALWAYS.includes(field) || ledger.total[field] > 0);
    this.#rows = follow(
      this.body,
      this.#rows,
      terms.map((term) => ({ term, ledger })),
      { keyOf: ({ term }) => term[0], make: ({ term }) => row(term, sources) },
    );
  }

  #divide(sources) {
    this.#sources = sources;
    this.#rows = new Map();
    this.body.replaceChildren();
    this.head.replaceChildren(
      el("th", { scope: "col" }, "What became of them"),
      ...["All", "Share"].map((name) => el("th", { scope: "col", class: "right" }, name)),
      ...sources.map((name) => el("th", { scope: "col", class: "right source" }, SOURCES[name] ?? name)),
    );
  }
}

function row([field, name, means], sources) {
  const all = el("td", { class: "right" });
  const share = el("td", { class: "right muted" });
  const cells = sources.map(() => el("td", { class: "right source" }));
  const node = el(
    "tr",
    {},
    el(
      "th",
      { scope: "row" },
      el("span", { class: `swatch ${field}`, "aria-hidden": "true" }),
      name,
      el("span", { class: "means" }, ` ${means}`),
    ),
    all,
    share,
    ...cells,
  );
  return {
    node,
    update({ ledger }) {
      setText(all, count(ledger.total[field]));
      setText(share, percent(ledger.total[field] / ledger.total.received));
      cells.forEach((cell, i) => setText(cell, count(ledger.sources[sources[i]][field])));
    },
  };
}
