// Many calls in, few out: once a frame, once a while, ever more slowly after failures. Owns no data.

/** Return a function that runs `draw` in the next frame, however often it is called until then. */
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** Run `work` now and every so many milliseconds, until the signal; not while nobody sees the page. */
export function repeat(work, everyMs, signal) {
  const run = () => document.hidden || work();
  const timer = setInterval(run, everyMs);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  document.addEventListener("visibilitychange", run, { signal });
  work();
}

/** Wait; ends early, without an error, at the signal. */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
  });
}

/** Wait until somebody looks at the page, or the signal. */
export function seen(signal) {
  return new Promise((resolve) => {
    const look = () => (signal.aborted || !document.hidden) && resolve();
    document.addEventListener("visibilitychange", look, { signal });
    signal.addEventListener("abort", look, { once: true });
    look();
  });
}

const FIRST_MS = 500;
const LONGEST_MS = 5000;

/** Delays that double up to 5 s, varied by a half: pages that lost the gateway together come back apart. */
export class Backoff {
  #failures = 0;

  next(random = Math.random) {
    const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    return whole * (0.5 + random() / 2);
  }

  reset() {
    this.#failures = 0;
  }
}
