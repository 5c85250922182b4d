// Numbers in, a small line without axes out. Nulls leave a gap. Says nothing: the number beside it does.

import { setAttribute, svg } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 44;
const AIR = 3;

/** Return a node and a function that draws into it: times (epoch ms) and values of [from, to]. */
export function spark() {
  const area = svg("path", { class: "spark-area" });
  const line = svg("path", { class: "spark-line", "vector-effect": "non-scaling-stroke" });
  const box = {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
    focusable: "false",
  };
  const node = svg("svg", { class: "spark", ...box }, area, line);
  return {
    node,
    draw(times, values, [from, to]) {
      const high = Math.max(...values.map((value) => value ?? 0), 1e-9);
      const points = values.map((value, i) =>
        value === null
          ? null
          : [((times[i] - from) / (to - from)) * WIDTH, HEIGHT - AIR - (value / high) * (HEIGHT - 2 * AIR)],
      );
      const runs = toRuns(points);
      setAttribute(line, "d", runs.map(toPath).join(""));
      setAttribute(area, "d", runs.map((run) => toArea(run, HEIGHT)).join(""));
    },
  };
}

/** Points between gaps. */
export function toRuns(points) {
  const runs = [[]];
  for (const point of points) {
    if (point === null) runs.push([]);
    else runs.at(-1).push(point);
  }
  return runs.filter((run) => run.length);
}

/** A line through points; a lone one becomes a dot, by the line's round ends. */
export function toPath(run) {
  const [first, ...rest] = run.map(([x, y]) => `${place(x)} ${place(y)}`);
  return `M${first}${rest.length ? rest.map((point) => `L${point}`).join("") : `L${first}`}`;
}

/** What lies between a line and the floor. */
export function toArea(run, floor) {
  return `${toPath(run)}L${place(run.at(-1)[0])} ${floor}L${place(run[0][0])} ${floor}Z`;
}

function place(pixels) {
  return Math.round(pixels * 10) / 10;
}
