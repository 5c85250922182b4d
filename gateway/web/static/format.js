// Numbers, times and sizes in, short words out. Pure; the time now is an argument.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const ONE = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const TWO = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const NARROW = "\u202f";
export const NOTHING = "–";

export function count(number) {
  return number === null || number === undefined ? NOTHING : WHOLE.format(number);
}

export function compact(number) {
  return Math.abs(number) < 10_000 ? TWO.format(number) : SHORT.format(number);
}

/** A rate a second: as many digits as tell something. */
export function rate(number) {
  if (number === null || number === undefined) return NOTHING;
  return number < 100 ? ONE.format(number) : WHOLE.format(number);
}

export function milliseconds(number) {
  if (number === null || number === undefined) return NOTHING;
  return number < 10 ? TWO.format(number) : number < 100 ? ONE.format(number) : WHOLE.format(number);
}

export function bytes(number) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  while (number >= 1023.95 && power < units.length - 1) [number, power] = [number / 1024, power + 1];
  return `${power ? ONE.format(number) : WHOLE.format(number)}${NARROW}${units[power]}`;
}

export function percent(share) {
  if (!Number.isFinite(share)) return NOTHING;
  if (share > 0 && share < 0.0005) return `< 0.1${NARROW}%`;
  return `${ONE.format(share * 100)}${NARROW}%`;
}

/** `12 s ago`; `now` below a second, since it would only flicker. */
export function ago(ms) {
  return ms < 1000 ? "now" : `${span(ms)} ago`;
}

export function span(ms) {
  const secs = Math.floor(ms / 1000);
  if (secs < 100) return `${secs} s`;
  if (secs < 100 * 60) return `${Math.floor(secs / 60)} min`;
  if (secs < 48 * 3600) return `${Math.floor(secs / 3600)} h`;
  return `${WHOLE.format(Math.floor(secs / 86_400))} d`;
}

/** A value of a device as a person reads it; what cannot be rounded without a lie is not. */
export function value(given) {
  if (given === true) return "yes";
  if (given === false) return "no";
  if (typeof given !== "number") return String(given);
  if (Number.isInteger(given)) return Number.isSafeInteger(given) ? given.toLocaleString("en") : String(given);
  return Math.abs(given) >= 1e6 || Math.abs(given) < 1e-3 ? given.toPrecision(6) : trimmed(given);
}

function trimmed(number) {
  return number.toLocaleString("en", { maximumSignificantDigits: 7, maximumFractionDigits: 4 });
}

const MOMENT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** A device's name as a segment of a path. Escaped once only, "." and ".." would be taken for folders all the same. */
export function segment(name) {
  return /^\.\.?$/.test(name) ? name.replaceAll(".", "%252E") : encodeURIComponent(name);
}

/** Epoch ms of a time (RFC 3339), with the microseconds as their fraction: Date.parse alone cuts them off. */
export function instant(time) {
  return Date.parse(time) + Number(`0.${/\.\d{3}(\d+)/.exec(time)?.[1] ?? 0}`);
}

/** A moment in the reader's own time zone. */
export function moment(ms) {
  return MOMENT.format(ms);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const A_DAY_MS = 86_400_000;

/** A moment of the last 24 hours as a time of day, an older one with its date. */
export function when(ms, now) {
  return now - ms < A_DAY_MS ? CLOCK.format(ms) : MOMENT.format(ms);
}

export function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
