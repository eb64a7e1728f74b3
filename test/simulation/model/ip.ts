/**
 * What must be true of one dedicated IP: its life by the stream of changes, its days and limits by plain arithmetic, and what is
 * left of them. It shares no code with the engine, and knows of it only what it published and when.
 */
import { DAY_MS, Days, HOUR_MS } from './calendar.ts';

export type Status = 'provisioning' | 'warming' | 'active' | 'cooldown' | 'released';
/** `null` is unlimited. */
export type Row = { daily: number | null; hourly: number | null };
export type Start = {
  rows: readonly Row[];
  zone: string;
  dayStartsAt: string;
  startDay: number;
  burst: number | null;
};
export type Held = { sending: boolean; advance: boolean; sinceMs: number; untilMs: number | null };
export type Limits = Row & { burst: number | null };
/**
 * `level` is that of the bucket in sends x 3 600 000, infinite for full whatever its size; `atMs` the instant of it all: counts never go back
 * behind it.
 */
export type Count = {
  day: { fromMs: number; used: number };
  hour: { fromMs: number; used: number };
  level: number;
  atMs: number;
};
type Window = { fromMs: number; toMs: number; limits: Limits };

const MAY_FOLLOW: Readonly<Record<Status, readonly Status[]>> = {
  provisioning: ['warming', 'cooldown'],
  warming: ['active', 'cooldown'],
  active: ['warming', 'cooldown'],
  cooldown: ['released'],
  released: [],
};

/** So that what an hourly cap lets flow in within a millisecond is a whole number. */
export const UNITS_PER_SEND = 3_600_000;

const least = (a: number | null, b: number | null) => (a === null ? b : b === null ? a : Math.min(a, b));
const endOf = ({ untilMs }: Held) => untilMs ?? Number.POSITIVE_INFINITY;

/** So many ends of days are published behind the current one; windows of 24 hours follow. */
const EDGES_AHEAD = 8;

export class ModelIp {
  readonly id: string;
  readonly address: string;
  readonly account: string;
  status: Status;
  leased = true;
  ceiling: Row = { daily: null, hourly: null };
  readonly pools = new Set<string>();
  readonly holds = new Map<string, Held>();
  cooldown: { from: Status; untilMs: number } | null = null;
  start: Start | null = null;
  days: Days;
  /** When progress stood still; `last` says whether a day that begins at the very end is held, too. */
  #stops: { sinceMs: number; endMs: number; last: boolean }[] = [];
  #stoppedSinceMs: number | null = null;

  /** The day that was current in what is published, with its limits and those that follow; `null` before the first. */
  published: { day: number; current: Limits; next: Limits } | null = null;
  /** What is counted, as it was written last. */
  count: Count = {
    day: { fromMs: 0, used: 0 },
    hour: { fromMs: 0, used: 0 },
    level: Number.POSITIVE_INFINITY,
    atMs: 0,
  };
  seq = 0;
  /** Receipts credited in the day, and the last one of the days before. */
  readonly refunded = new Set<number>();
  closedSeq = 0;

  constructor(id: string, address: string, account: string, status: Status, createdAtMs: number) {
    this.id = id;
    this.address = address;
    this.account = account;
    this.status = status;
    this.days = new Days(Math.floor(createdAtMs / DAY_MS) * DAY_MS, 'UTC', 'start');
  }

  /** @returns what is wrong with a change of status, or `null` */
  move(to: Status, atMs: number, how: { start?: Start; cooldownMs?: number }): string | null {
    const before = this.status;
    const isRestore = before === 'cooldown' && to !== 'released';
    if (isRestore ? to !== this.cooldown!.from : !MAY_FOLLOW[before].includes(to)) {
      return `${this.address} went from ${before} to ${to}`;
    }
    this.#expire(atMs);
    this.status = to;
    if (to === 'cooldown') this.cooldown = { from: before, untilMs: atMs + how.cooldownMs! };
    else this.cooldown = null;
    if (to === 'warming' && !isRestore) {
      if (!how.start) return `nobody asked for the warm-up of ${this.address}`;
      this.start = how.start;
      this.days = new Days(atMs, how.start.zone, how.start.dayStartsAt);
      this.#stops = [];
      this.#stoppedSinceMs = null;
    }
    this.#stopOrGo(atMs);
    return null;
  }

  hold(scope: string, held: Held, atMs: number): void {
    this.#expire(atMs);
    this.holds.set(scope, held);
    this.#stopOrGo(atMs);
  }

  unhold(scope: string, atMs: number): void {
    this.#expire(atMs);
    this.holds.delete(scope);
    this.#stopOrGo(atMs);
  }

  /** Holds that reached their end let progress go on from there, also when nobody came by to write it down. */
  #expire(atMs: number): void {
    const stopping = [...this.holds.values()].filter(({ advance }) => advance);
    if (
      this.#stoppedSinceMs === null ||
      this.status !== 'warming' ||
      stopping.some((held) => endOf(held) > atMs)
    )
      return;
    const endMs = Math.max(...stopping.map(endOf));
    this.#stops.push({ sinceMs: this.#stoppedSinceMs, endMs, last: false });
    this.#stoppedSinceMs = null;
  }

  #stopOrGo(atMs: number): void {
    const stands =
      this.status === 'cooldown' ||
      (this.status === 'warming' &&
        [...this.holds.values()].some((held) => held.advance && endOf(held) > atMs));
    if (stands) {
      this.#stoppedSinceMs ??= atMs;
    } else if (this.#stoppedSinceMs !== null) {
      this.#stops.push({ sinceMs: this.#stoppedSinceMs, endMs: atMs, last: true });
      this.#stoppedSinceMs = null;
    }
  }

  /**
   * The warm-up day at an instant: the days that began, less those that began while progress stood still. What a stop that has
   * ended took away stays away, also while a clock that went back shows a time before it.
   */
  warmupDayAt(atMs: number): number {
    const calendarDay = this.days.dayAt(atMs);
    let held = 0;
    for (const { sinceMs, endMs, last } of this.#stops) {
      for (let day = 2; this.days.edge(day) <= endMs; day += 1) {
        const edgeMs = this.days.edge(day);
        if (edgeMs > sinceMs && (edgeMs < endMs || last)) held += 1;
      }
    }
    if (this.#stoppedSinceMs !== null) {
      const stopping = [...this.holds.values()].filter(({ advance }) => advance);
      const endMs = this.status === 'cooldown' ? Number.POSITIVE_INFINITY : Math.max(...stopping.map(endOf));
      for (let day = 2; day <= calendarDay; day += 1) {
        const edgeMs = this.days.edge(day);
        if (edgeMs > this.#stoppedSinceMs && edgeMs < endMs) held += 1;
      }
    }
    return Math.max(1, calendarDay + (this.start?.startDay ?? 1) - 1 - held);
  }

  /** All days of the plan are over. */
  isComplete(atMs: number): boolean {
    return this.warmupDayAt(atMs) > this.start!.rows.length;
  }

  limitsOn(day: number): Limits {
    let { daily, hourly }: Row = { daily: null, hourly: null };
    const isWarming = this.status === 'warming';
    if (isWarming) {
      const { rows } = this.start!;
      // Before its start, when the clock went back behind it, it has the limits of that day less one.
      const atMs = day === 0 ? this.days.startedAtMs - 1 : this.days.edge(day);
      ({ daily, hourly } = rows[Math.min(this.warmupDayAt(atMs), rows.length) - 1]!);
    }
    daily = least(daily, this.ceiling.daily);
    hourly = least(hourly, this.ceiling.hourly);
    const named = isWarming ? this.start!.burst : null;
    const burst =
      hourly !== null
        ? Math.min(named ?? hourly, hourly)
        : daily !== null && named !== null
          ? Math.min(named, daily)
          : null;
    return { daily, hourly, burst };
  }

  /**
   * A publish at an instant, of which the current day is known. Counts carry over.
   * @param before what was counted just before the change that is published; `null` for the first publish
   */
  publish(day: number, nowMs: number, before: Count | null): void {
    if (before) this.write(before);
    this.published = { day, current: this.limitsOn(day), next: this.limitsOn(day + 1) };
    let { day: dayCount, hour: hourCount } = this.count;
    if (this.count.atMs > nowMs + HOUR_MS) {
      // The clock went back by more than an hour: the running day counts as used up.
      const { daily, hourly, burst } = this.published.current;
      dayCount = { ...dayCount, used: Math.max(dayCount.used, daily ?? 0) };
      hourCount = { ...hourCount, used: Math.max(hourCount.used, hourly ?? 0) };
      this.count = { ...this.count, atMs: nowMs, level: burst === null ? Number.POSITIVE_INFINITY : 0 };
    }
    const count = this.look(nowMs);
    if (before) {
      count.day.used = dayCount.used;
      count.hour.used = hourCount.used;
    }
    this.count = count;
    this.#writtenDayMs = count.day.fromMs;
  }

  #windowAt(atMs: number): Window {
    const { day, current, next } = this.published!;
    const edge = (number: number) => this.days.edge(number);
    if (atMs < edge(day + 1)) return { fromMs: edge(day), toMs: edge(day + 1), limits: current };
    for (let ahead = 2; ahead <= EDGES_AHEAD; ahead += 1) {
      if (atMs < edge(day + ahead))
        return { fromMs: edge(day + ahead - 1), toMs: edge(day + ahead), limits: next };
    }
    const lastMs = edge(day + EDGES_AHEAD);
    const fromMs = lastMs + Math.floor((atMs - lastMs) / DAY_MS) * DAY_MS;
    return { fromMs, toMs: fromMs + DAY_MS, limits: next };
  }

  /** The counts at an instant, by the limits that are published. Nothing is written by looking. */
  look(nowMs: number): Count {
    const { day, hour } = this.count;
    const atMs = Math.max(nowMs, this.count.atMs);
    const { fromMs } = this.#windowAt(atMs);
    const hourMs = fromMs + Math.max(0, Math.floor((atMs - fromMs) / HOUR_MS)) * HOUR_MS;
    return {
      day: day.fromMs === fromMs ? { ...day } : { fromMs, used: 0 },
      hour: hour.fromMs === hourMs ? { ...hour } : { fromMs: hourMs, used: 0 },
      level: this.#levelAt(atMs),
      atMs,
    };
  }

  limitsAt(nowMs: number): Limits {
    return this.#windowAt(Math.max(nowMs, this.count.atMs)).limits;
  }

  #levelAt(atMs: number): number {
    let { level } = this.count;
    // A bucket of any size is full after three days.
    // Before the day that is published nothing flows (the clock went back behind its beginning).
    const beginsMs = Math.min(atMs, this.days.edge(this.published!.day));
    for (let fromMs = Math.max(this.count.atMs, atMs - 3 * DAY_MS, beginsMs); ; ) {
      const window = this.#windowAt(fromMs);
      const { daily, hourly, burst } = window.limits;
      const endMs = Math.min(window.toMs, atMs);
      const passedMs = Math.max(0, endMs - fromMs);
      const lengthMs = Math.max(1, window.toMs - window.fromMs);
      if (burst === null) {
        level = Number.POSITIVE_INFINITY;
      } else {
        // Of an hourly cap a millisecond is a whole number of units; of a daily limit it is a fraction.
        const flown =
          hourly !== null
            ? Math.min(passedMs, HOUR_MS) * hourly
            : (passedMs * daily! * UNITS_PER_SEND) / lengthMs;
        level = Math.min(burst * UNITS_PER_SEND, level + flown);
      }
      if (endMs >= atMs) break;
      fromMs = endMs;
    }
    const { burst } = this.#windowAt(atMs).limits;
    return burst === null ? Number.POSITIVE_INFINITY : Math.min(level, burst * UNITS_PER_SEND);
  }

  /** Its counter was written: receipts of days that are over credit nothing any more. */
  write(count: Count): void {
    if (this.#writtenDayMs !== count.day.fromMs) {
      if (this.#writtenDayMs !== 0 && this.seq > 0) {
        this.closedSeq = this.seq;
        this.refunded.clear();
      }
      this.#writtenDayMs = count.day.fromMs;
    }
    this.count = count;
  }
  #writtenDayMs = 0;

  /** Why it gives nothing at all; `null` when it may. */
  closedBecause(nowMs: number): 'status' | 'hold' | null {
    if (this.status !== 'warming' && this.status !== 'active') return 'status';
    for (const held of this.holds.values()) if (held.sending && nowMs < endOf(held)) return 'hold';
    return null;
  }

  /** Sends that may be granted at an instant. `exact`: to the send; otherwise give or take one (a bucket of a daily limit). */
  roomAt(nowMs: number): { room: number; exact: boolean } {
    if (!this.published || this.closedBecause(nowMs)) return { room: 0, exact: true };
    const { daily, hourly, burst } = this.limitsAt(nowMs);
    const { day, hour, level } = this.look(nowMs);
    const hard = Math.max(
      0,
      Math.min(
        daily === null ? Number.POSITIVE_INFINITY : daily - day.used,
        hourly === null ? Number.POSITIVE_INFINITY : hourly - hour.used,
      ),
    );
    const soft = Math.max(0, Math.floor(level / UNITS_PER_SEND));
    return { room: Math.min(hard, soft), exact: burst === null || hourly !== null || hard < soft };
  }

  /** The place in the order of choice: warming ones first, then by what is used of the limit. */
  placeAt(nowMs: number): { warming: boolean; unlimited: boolean; ratio: number } {
    const { daily, hourly } = this.limitsAt(nowMs);
    const { day, hour } = this.look(nowMs);
    const unlimited = daily === null && hourly === null;
    return {
      // An IP without limits counts as active here.
      warming: this.status === 'warming' && !unlimited,
      unlimited,
      ratio: Math.max(daily === null ? 0 : day.used / daily, hourly === null ? 0 : hour.used / hourly),
    };
  }

  charge(sends: number, takes: number, nowMs: number): void {
    const { day, hour, level, atMs } = this.look(nowMs);
    this.write({
      day: { ...day, used: day.used + sends },
      hour: { ...hour, used: hour.used + sends },
      level: level - sends * UNITS_PER_SEND,
      atMs,
    });
    this.seq += takes;
  }

  /** @returns the sends that a receipt credits, which then are credited */
  credit(
    receipt: { dayFromMs: number; hourFromMs: number; seq: number; count: number },
    nowMs: number,
  ): number {
    if (!this.published || this.status === 'released') return 0;
    if (receipt.seq > this.seq || receipt.seq <= this.closedSeq) return 0;
    const { day, hour } = this.look(nowMs);
    if (day.fromMs !== receipt.dayFromMs || this.refunded.has(receipt.seq)) return 0;
    const sends = Math.min(receipt.count, day.used);
    this.giveBack(sends, hour.fromMs === receipt.hourFromMs ? sends : 0, nowMs);
    this.refunded.add(receipt.seq);
    return sends;
  }

  giveBack(sends: number, ofHour: number, nowMs: number): void {
    const { burst } = this.limitsAt(nowMs);
    const { day, hour, level, atMs } = this.look(nowMs);
    this.write({
      day: { ...day, used: day.used - sends },
      hour: { ...hour, used: Math.max(0, hour.used - ofHour) },
      level:
        burst === null
          ? Number.POSITIVE_INFINITY
          : Math.min(burst * UNITS_PER_SEND, level + sends * UNITS_PER_SEND),
      atMs,
    });
  }
}
