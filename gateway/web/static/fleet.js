// /v1/fleet in, every few seconds; the newest of it to whoever watches out. Knows whether the gateway answers.

import { span } from "./format.js";
import { Backoff, seen, sleep } from "./pace.js";
import { ask } from "./session.js";

const EVERY_MS = 3000;

export class Fleet {
  #watchers = new Set();
  #answered = 0;
  #stopped = new AbortController();
  #onLink;
  #ahead = 0;

  /** `onLink(up, sentence)` is told whenever the gateway answers, or does not. */
  constructor(first, role, onLink) {
    this.#take(first);
    this.role = role;
    this.#onLink = onLink;
    onLink(true, "");
    this.#run();
  }

  get signal() {
    return this.#stopped.signal;
  }

  stop() {
    this.#stopped.abort();
  }

  /**
   * Call `show(view, lost)` with the newest view, now and whenever there is another, until the signal. `lost` is when
   * the gateway answered last (its clock, epoch ms) while it does not, else null: what is shown is from then.
   */
  watch(show, signal) {
    this.#watchers.add(show);
    signal.addEventListener("abort", () => this.#watchers.delete(show), { once: true });
    show(this.newest, this.lost);
  }

  /** How old a time (RFC 3339) is in ms, by the gateway's clock: this machine's may be wrong. */
  age(time) {
    return Math.max(0, this.now() - Date.parse(time));
  }

  /** The gateway's clock, epoch ms. */
  now() {
    return Date.now() + this.#ahead;
  }

  #take(view) {
    this.newest = view;
    this.lost = null;
    this.#answered = Date.parse(view.now);
    this.#ahead = this.#answered - Date.now();
  }

  async #run() {
    const backoff = new Backoff();
    const { signal } = this;
    let pause = EVERY_MS;
    while (!signal.aborted) {
      await sleep(pause, signal);
      await seen(signal);
      if (signal.aborted) return;
      try {
        this.#take(await ask("/v1/fleet", { signal }));
        backoff.reset();
        pause = EVERY_MS;
      } catch (problem) {
        if (signal.aborted) return;
        pause = Math.max(backoff.next(), problem.retryAfterMs ?? 0);
        this.lost = this.#answered;
        this.#onLink(false, `${problem.message} Trying again in ${span(Math.max(1000, pause))}.`);
        this.#tell();
        continue;
      }
      this.#onLink(true, "");
      this.#tell();
    }
  }

  /** Show everybody the newest view; a mistake in one of them must not end the rest. */
  #tell() {
    for (const show of this.#watchers) {
      try {
        show(this.newest, this.lost);
      } catch (mistake) {
        reportError(mistake);
      }
    }
  }
}
