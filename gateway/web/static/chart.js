// Times and numbers in, a chart out: axes, a line, a read-out under the pointer or the arrow keys. Asks for no data.

import { setAttribute, setText, svg } from "./dom.js";
import { moment, value as words } from "./format.js";
import { oncePerFrame } from "./pace.js";
import { breaks, domain, linear, nearest, ticks, timeTicks } from "./scale.js";
import { toArea, toPath, toRuns } from "./spark.js";

const HEIGHT = 320;
const ROOM = { top: 12, right: 14, bottom: 28 };
const LEAST = 120; // pixels; below there is room for the labels alone
const LETTER = 7; // pixels of a digit of the labels
const TICK_WIDTH = 76;
const EDGE = 22; // a label nearer to the end would be cut
const STEP_DOMAIN = [-0.15, 1.15];

/** One chart in `host`; `readout` is an element that says the point under the pointer. */
export class Chart {
  #data = null; // {times, values, range, unit, steps, name}
  #width = 0;
  #at = null;
  #draw = oncePerFrame(() => this.#paint());
  #scales = null;

  constructor(host, readout, signal) {
    this.readout = readout;
    this.grid = svg("g", { class: "grid" });
    this.line = svg("path", { class: "line" });
    this.area = svg("path", { class: "area" });
    this.cursor = svg("line", { class: "cursor", visibility: "hidden", y1: ROOM.top, y2: HEIGHT - ROOM.bottom });
    this.dot = svg("circle", { class: "mark", visibility: "hidden", r: 4 });
    this.node = svg(
      "svg",
      { class: "chart", role: "img", tabindex: 0, height: HEIGHT, "aria-label": "Chart: nothing to show yet" },
      this.grid,
      this.area,
      this.line,
      this.cursor,
      this.dot,
    );
    this.node.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    this.node.addEventListener("pointerdown", (event) => this.#point(event.offsetX));
    this.node.addEventListener("pointerleave", () => this.#leave());
    this.node.addEventListener("blur", () => this.#leave());
    this.node.addEventListener("keydown", (event) => this.#key(event));
    host.append(this.node);
    const watch = new ResizeObserver(([entry]) => {
      this.#width = Math.floor(entry.contentRect.width);
      this.#draw();
    });
    watch.observe(host);
    signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  }

  /** Show points; `steps` draws a value that holds until the next (0 and 1 are then no and yes). */
  show(data) {
    this.#data = data;
    this.#draw();
  }

  /** Show no points: those of another question must not stand under this one's name. */
  clear(words) {
    this.#data = null;
    this.#scales = null;
    this.#at = null;
    this.grid.replaceChildren();
    for (const part of [this.line, this.area]) setAttribute(part, "d", "");
    for (const part of [this.cursor, this.dot]) setAttribute(part, "visibility", "hidden");
    setAttribute(this.node, "aria-label", words);
    setText(this.readout, "\u00a0");
  }

  #paint() {
    if (this.#data === null || this.#width < LEAST) return;
    const { times, values, range, steps } = this.#data;
    const reach = steps ? STEP_DOMAIN : domain(values);
    const across = steps ? { found: [0, 1], format: (one) => (one ? "yes" : "no") } : ticks(reach, 5);
    const labels = across.found.map((at) => [at, across.format(at)]);
    const left = 20 + LETTER * Math.max(3, ...labels.map(([, label]) => label.length));
    const x = linear(range, [left, this.#width - ROOM.right]);
    const y = linear(reach, [HEIGHT - ROOM.bottom, ROOM.top]);
    this.#scales = { x, y, left };
    setAttribute(this.node, "viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    setAttribute(this.node, "width", this.#width);
    setAttribute(this.node, "aria-label", this.#summary());
    this.#axes(range, labels);
    this.#lines(times, values, x, y);
    this.#mark();
  }

  #axes(range, labels) {
    const { x, y, left } = this.#scales;
    const along = timeTicks(range, Math.floor((this.#width - left - ROOM.right) / TICK_WIDTH));
    const parts = [];
    for (const [at, label] of labels) {
      parts.push(svg("line", { x1: left, x2: this.#width - ROOM.right, y1: y(at), y2: y(at) }));
      parts.push(svg("text", { x: left - 8, y: y(at) + 4, "text-anchor": "end" }, label));
    }
    for (const at of along.found) {
      if (x(at) < left || x(at) > this.#width - EDGE) continue;
      parts.push(svg("text", { x: x(at), y: HEIGHT - 8, "text-anchor": "middle" }, along.format(at)));
    }
    this.grid.replaceChildren(...parts);
  }

  #lines(times, values, x, y) {
    const { range, steps } = this.#data;
    const gaps = breaks(times, range);
    const points = [];
    values.forEach((value, i) => {
      points.push([x(times[i]), y(value)]);
      if (steps && i + 1 < values.length) points.push([x(times[i + 1]), y(value)]);
      else if (gaps[i]) points.push(null);
    });
    if (steps && values.length) points.push([x(range[1]), y(values.at(-1))]);
    const runs = toRuns(points);
    setAttribute(this.line, "d", runs.map(toPath).join(""));
    setAttribute(this.area, "d", runs.map((run) => toArea(run, HEIGHT - ROOM.bottom)).join(""));
  }

  #point(pixels) {
    if (!this.#scales || !this.#data.times.length) return;
    const { times, range } = this.#data;
    const { left } = this.#scales;
    const wanted = range[0] + ((pixels - left) / (this.#width - left - ROOM.right)) * (range[1] - range[0]);
    this.#at = nearest(times, wanted);
    this.#draw();
  }

  #key(event) {
    const times = this.#data?.times ?? [];
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !times.length) return;
    event.preventDefault();
    this.#at = Math.max(0, Math.min(times.length - 1, (this.#at ?? times.length - 1) + steps[event.key]));
    this.#draw();
  }

  #leave() {
    this.#at = null;
    this.#draw();
  }

  /** Show the point that is pointed at; without one, the newest. */
  #mark() {
    const { times, values, unit, steps } = this.#data;
    const pointed = this.#at !== null && this.#at < times.length;
    const i = pointed ? this.#at : times.length - 1;
    setAttribute(this.cursor, "visibility", pointed ? "visible" : "hidden");
    setAttribute(this.dot, "visibility", times.length ? "visible" : "hidden");
    setAttribute(this.readout, "aria-live", pointed ? "polite" : "off"); // the newest value changes all the time
    if (!times.length) return setText(this.readout, "\u00a0");
    const { x, y } = this.#scales;
    setAttribute(this.cursor, "x1", x(times[i]));
    setAttribute(this.cursor, "x2", x(times[i]));
    setAttribute(this.dot, "cx", x(times[i]));
    setAttribute(this.dot, "cy", y(values[i]));
    const said = steps ? words(Boolean(values[i])) : words(values[i]);
    return setText(this.readout, `${said}${unit ? ` ${unit}` : ""} · ${moment(times[i])}`);
  }

  #summary() {
    const { times, values, name, unit } = this.#data;
    if (!times.length) return `${name}: nothing in this range`;
    const [low, high] = values.reduce(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [Infinity, -Infinity]);
    const what = `${name}${unit ? ` in ${unit}` : ""}: ${times.length} points`;
    const when = `from ${moment(times[0])} to ${moment(times.at(-1))}`;
    const most = `lowest ${words(low)}, highest ${words(high)}, newest ${words(values.at(-1))}`;
    return `${what} ${when}, ${most}. Arrow keys read out points.`;
  }
}
