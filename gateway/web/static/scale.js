// Ranges in, round places for ticks and their labels out. Pure.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  15 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  7 * DAY,
];

const LARGEST = 1e300;
const FINEST = 1e-12; // of a number: finer steps from it would be lost in its last digits

/** From [low, high] to pixels. */
export function linear([low, high], [from, to]) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

/** The range of values with some air; a single value gets a range around it. */
export function domain(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  [low, high] = [Math.max(low, -LARGEST), Math.min(high, LARGEST)]; // their difference must be a number, too
  const air = low === high ? Math.abs(low) * 0.05 || 1 : (high - low) * 0.08;
  return [low - air, high + air];
}

/** About so many round numbers within the range. */
export function ticks([low, high], wanted) {
  const reach = Math.max(Math.abs(low), Math.abs(high));
  const rough = Math.max((high - low) / Math.max(1, wanted), reach * FINEST, Number.MIN_VALUE / FINEST);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((one) => one >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) found.push(i * step);
  return { found, format: formatter(step, reach) };
}

/** As many digits as tell two ticks apart; large numbers in thousands or millions, where that is enough. */
function formatter(step, reach) {
  const unit = step >= 1000 ? 1000 ** Math.floor(Math.log10(reach) / 3) : 1;
  const digits = Math.max(0, Math.ceil(Math.log10(unit / step) + (isQuarter(step) ? 1 : 0) - 1e-9));
  const short = unit > 1 && digits <= 2;
  const fraction = unit > 1 ? 0 : Math.min(digits, 12);
  const format = short
    ? new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: digits })
    : new Intl.NumberFormat("en", { minimumFractionDigits: fraction, maximumFractionDigits: fraction });
  return (number) => format.format(Math.abs(number) < step / 2 ? 0 : number);
}

/** Whether a step is 2.5 times a power of ten. */
function isQuarter(step) {
  return Math.abs(step / 10 ** Math.floor(Math.log10(step)) - 2.5) < 1e-6;
}

/** At most so many round moments within [from, to] (epoch ms), in the reader's time zone, and how to write them. */
export function timeTicks([from, to], most) {
  const step = STEPS.find((one) => (to - from) / one <= most) ?? 7 * DAY;
  const found = [];
  for (let at = firstAt(from, step); at <= to; at = next(at, step)) found.push(at);
  return { found, format: (at) => timeFormat(step).format(at) };
}

/** The first whole step at or after a moment: midnights and whole hours are those of the clock on the wall. */
function firstAt(from, step) {
  const midnight = new Date(from).setHours(0, 0, 0, 0);
  if (step >= DAY) return midnight >= from ? midnight : next(midnight, DAY);
  return midnight + Math.ceil((from - midnight) / step) * step;
}

/** Whole days are stepped on the calendar: one of them has 23 hours, and another 25. */
function next(at, step) {
  if (step < DAY) return at + step;
  const day = new Date(at);
  return day.setDate(day.getDate() + step / DAY);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric" });

function timeFormat(step) {
  if (step >= DAY) return DATE;
  return step < MINUTE ? SECONDS : CLOCK;
}

/** Where in rising numbers the one nearest to this lies. */
export function nearest(numbers, wanted) {
  let [low, high] = [0, numbers.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - numbers[low - 1] < numbers[low] - wanted ? low - 1 : low;
}

/** Where a line must break: after points so much further from the next than usual that nothing came between. */
export function breaks(times, [from, to]) {
  const gaps = times.slice(1).map((at, i) => at - times[i]);
  const usual = gaps.toSorted((a, b) => a - b)[gaps.length >> 1] ?? 0;
  const most = Math.max((to - from) / 60, usual * 8);
  return gaps.map((gap) => gap > most);
}
