/**
 * Days on the wall clock of a zone, reckoned anew from what `Intl` says of the zone, quarter hour by quarter hour: slow, plain,
 * and without a line of the engine's own calendar.
 */
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const QUARTER_MS = 15 * 60_000;

const formats = new Map<string, Intl.DateTimeFormat>();
const offsets = new Map<string, number>();

function offsetMs(zone: string, atMs: number): number {
  if (zone === 'UTC') return 0;
  // Zones change their offset at whole quarters of an hour, if at all.
  const quarterMs = Math.floor(atMs / QUARTER_MS) * QUARTER_MS;
  const key = `${zone} ${quarterMs}`;
  let offset = offsets.get(key);
  if (offset === undefined) {
    let format = formats.get(zone);
    if (!format) {
      format = new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
      });
      formats.set(zone, format);
    }
    const part = Object.fromEntries(
      format.formatToParts(quarterMs).map(({ type, value }) => [type, Number(value)]),
    );
    offset = Date.UTC(part.year!, part.month! - 1, part.day, part.hour, part.minute) - quarterMs;
    if (offsets.size > 200_000) offsets.clear();
    offsets.set(key, offset);
  }
  return offset;
}

const wallMs = (zone: string, atMs: number) => atMs + offsetMs(zone, atMs);

/** The first instant at which the wall shows a time; one that is left out comes later, by the length of the gap. */
function instantOf(zone: string, wall: number): number {
  if (zone === 'UTC') return wall;
  const around = new Set<number>();
  for (let atMs = wall - 27 * HOUR_MS; atMs <= wall + 27 * HOUR_MS; atMs += QUARTER_MS)
    around.add(offsetMs(zone, atMs));
  const shown = [...around].map((offset) => wall - offset).filter((atMs) => wallMs(zone, atMs) === wall);
  if (shown.length > 0) return Math.min(...shown);
  let gapMs = Math.floor((wall - 27 * HOUR_MS) / QUARTER_MS) * QUARTER_MS;
  while (wallMs(zone, gapMs) <= wall) gapMs += QUARTER_MS;
  return wall - offsetMs(zone, gapMs - QUARTER_MS);
}

/** The days of one IP: day 1 begins at the start, and so many follow as anybody asks for. */
export class Days {
  readonly startedAtMs: number;
  readonly #zone: string;
  readonly #dayStartsAt: string;
  /** `[n]` is the beginning of day n; 0 is what was before the start, and has no length. */
  readonly #edges: number[];

  constructor(startedAtMs: number, zone: string, dayStartsAt: string) {
    this.startedAtMs = startedAtMs;
    this.#zone = zone;
    this.#dayStartsAt = dayStartsAt;
    this.#edges = [startedAtMs, startedAtMs];
  }

  edge(day: number): number {
    for (let next = this.#edges.length; next <= day; next += 1) this.#edges.push(this.#begin(next));
    return this.#edges[Math.max(0, day)]!;
  }

  #begin(day: number): number {
    const startWall = wallMs(this.#zone, this.startedAtMs);
    if (this.#dayStartsAt === 'start') return instantOf(this.#zone, startWall + (day - 1) * DAY_MS);
    const [hours = 0, minutes = 0] = this.#dayStartsAt.split(':').map(Number);
    let turn = Math.floor(startWall / DAY_MS) * DAY_MS + hours * HOUR_MS + minutes * 60_000;
    // Day 1 lasts to the first such time that is at least 12 hours away.
    while (instantOf(this.#zone, turn) < this.startedAtMs + 12 * HOUR_MS) turn += DAY_MS;
    return instantOf(this.#zone, turn + (day - 2) * DAY_MS);
  }

  /** The day in which an instant lies; 0 before the start. */
  dayAt(atMs: number): number {
    if (atMs < this.startedAtMs) return 0;
    let day = 1;
    while (this.edge(day + 1) <= atMs) day += 1;
    return day;
  }
}
