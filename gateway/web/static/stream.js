// A path of /v1/stream in, its events out, over as many connections as it takes. Never repeats what was resumed.
// Holds none while nobody looks: a browser has six for a host, all its tabs together.

import { Backoff, seen, sleep } from "./pace.js";
import { open, parse, Problem } from "./session.js";

const SILENCE_MS = 40_000; // a ping comes every 15 s

/**
 * Read events until the signal. `onEvent(name, data)` gets them parsed, `onLink(up, problem)` whether they flow.
 * Ends by itself, and returns the Problem, only when the gateway says no for good.
 */
export async function stream(path, { onEvent, onLink, signal }) {
  const backoff = new Backoff();
  let last = null;
  while (!signal.aborted) {
    await seen(signal);
    try {
      await once(
        path,
        last,
        signal,
        (event) => {
          backoff.reset();
          if (event.id !== null) last = event.id;
          onEvent(event.name, parse(event.data));
        },
        () => onLink(true, null),
      );
      onLink(false, new Problem("The gateway ended the stream."));
    } catch (error) {
      if (signal.aborted) return null;
      const problem = error instanceof Problem ? error : new Problem("The stream broke off.");
      onLink(false, problem);
      if (!problem.passes) return problem;
      await sleep(problem.retryAfterMs, signal);
    }
    await sleep(backoff.next(), signal);
  }
  return null;
}

async function once(path, last, signal, onEvent, onOpen) {
  const silence = new AbortController();
  const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
  document.addEventListener("visibilitychange", () => document.hidden && silence.abort(), { signal: silence.signal });
  const both = AbortSignal.any([signal, silence.signal]);
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const answer = await open(path, { signal: both, caller: signal, headers });
    onOpen();
    const events = new Events(onEvent);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      events.feed(part.value);
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

/** Text in any pieces in, events out (HTML standard, 9.2.6). An event cut off at the end is none. */
export class Events {
  #onEvent;
  #rest = "";
  #name = "";
  #data = [];
  #id = null;

  constructor(onEvent) {
    this.#onEvent = onEvent;
  }

  feed(text) {
    this.#rest += text;
    const whole = this.#rest.endsWith("\r") ? this.#rest.length - 1 : this.#rest.length; // half a line end may follow
    const lines = this.#rest.slice(0, whole).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() + this.#rest.slice(whole);
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch() {
    const [name, data, id] = [this.#name || "message", this.#data, this.#id];
    [this.#name, this.#data, this.#id] = ["", [], null];
    if (data.length) this.#onEvent({ name, data: data.join("\n"), id });
  }
}
