// Paths in, parsed answers out. The key lives in this module's memory: it goes into a header, and nowhere else.

const PATIENCE_MS = 10_000;
const INTEGER = /^-?\d+$/;

let key = "";
let signedOut = () => {};

/** What went wrong, in words for a person. `status` is 0 where no answer came. */
export class Problem extends Error {
  constructor(message, { status = 0, code = "unreachable", retryAfterMs = 0 } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same may succeed later, without anybody doing anything. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export function signIn(given, onSignedOut) {
  key = given;
  signedOut = onSignedOut;
}

export function signOut() {
  key = "";
}

/** Ask, and return the parsed answer. Throws Problem; AbortError if the caller's signal says so. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const answer = await open(path, {
    method,
    body,
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
    caller: signal,
  });
  try {
    return parse(await answer.text());
  } catch (error) {
    throw signal?.aborted ? error : new Problem("The answer ended too early.");
  }
}

/** Ask, and return the answer unread: for streams, which end when the signal says so. */
export async function open(path, { method = "GET", body, signal, caller = signal, headers = {} } = {}) {
  const sent = { Authorization: `Bearer ${key}`, ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let answer;
  try {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    answer = await fetch(path, { method, body: payload, headers: sent, signal, cache: "no-store" });
  } catch (error) {
    if (caller?.aborted) throw error;
    throw unreachable(error);
  }
  if (!answer.ok) throw await toProblem(answer);
  return answer;
}

function unreachable(error) {
  if (error instanceof TypeError && /header/i.test(error.message)) {
    return new Problem("This is not a key: it has characters that no key has.", { status: 401, code: "bad_key" });
  }
  return new Problem(
    error.name === "TimeoutError" ? "The gateway takes too long to answer." : "The gateway does not answer.",
  );
}

async function toProblem(answer) {
  const told = await answer.json().catch(() => ({}));
  const problem = new Problem(told.detail ?? `The gateway answered ${answer.status}.`, {
    status: answer.status,
    code: told.code ?? "unknown",
    retryAfterMs: 1000 * (told.retry_after ?? Number(answer.headers.get("retry-after") ?? 0)),
  });
  if (problem.status === 401) signedOut(problem);
  return problem;
}

/** Parse JSON; integers that a double cannot hold come as text, to the digit, where the browser shows the source. */
export function parse(text) {
  return JSON.parse(text, (_name, value, context) => {
    const exact = typeof value !== "number" || Number.isSafeInteger(value) || !INTEGER.test(context?.source ?? "");
    return exact ? value : context.source;
  });
}
