/**
 * A lease: sends taken ahead and spent without a round trip. What is held is already counted in Redis, so nothing can go
 * over; it is held for at most a second and never past the hour in which it was taken, and what is not used goes back.
 *
 *     const lease = sender.lease({ pool: 'marketing' });
 *     const ip = lease.tryTake(recipients.length) ?? (await lease.take(recipients.length));
 *     // send from ip.ip; what was not sent after all:  lease.giveBack(ip, count)
 *     await lease.close();
 */
import { randomBytes } from 'node:crypto';
import { type BecauseCode, MOST_SENDS_PER_TAKE, NamedIp, type Part, receiptOf } from '../redis/answer.ts';
import type { Limiter } from '../redis/limiter.ts';
import { invalid } from '../warmup/errors.ts';
import { QuotaExhausted } from './quota-exhausted.ts';

export type LeaseOptions = {
  /** One IP, by address or id; or a pool, by id or name; neither: the default pool if there is one, else any IP. */
  ip?: string;
  pool?: string;
  family?: 4 | 6;
  /** Most sends held at a time, 1 to 1 000 000. How many it really are follows the demand. @default 10 000 */
  size?: number;
  /**
   * `call` reads the clock for each take, about 80 ns of the 90 that it costs. `turn` reads it once in each turn of the event
   * loop and every 64 takes: what is held may then be spent past its second by that much, and no more.
   * @default "call"
   */
  clock?: 'call' | 'turn';
};

/** The IP to send from. */
export type LeasedIp = {
  readonly ip: string;
  readonly ipId: string;
  /** What EHLO should say, if the operator has said. */
  readonly hostname: string | null;
  /** The local address to bind when it is not the IP itself. */
  readonly bind: string | null;
};

export type LeaseStats = {
  /** Calls to Redis, and the sends they granted. */
  roundTrips: number;
  granted: number;
  /** Of these: given back unused, and spent by the callers (the rest is held, or was lost with a connection). */
  returned: number;
  spent: number;
};

export type Lease = {
  /**
   * Takes `count` sends (1 unless said) from one IP, now and here; `null` when none are held. Then more are on their way, or
   * `retryAfterMs` says when asking makes sense.
   * @throws WarmlineError `not_found` for an unknown IP or pool (once Redis has said so), `invalid` for a count that is none
   */
  tryTake(count?: number): LeasedIp | null;
  /**
   * Waits until there are `count` sends, in the order of asking.
   * @throws QuotaExhausted when there never will be as things stand, or not before `timeoutMs` has passed
   */
  take(count?: number, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<LeasedIp>;
  /** Sends that were taken and not made: they are there again for the next take. */
  giveBack(ip: LeasedIp, count?: number): void;
  /** Why there was nothing the last time Redis was asked; `null` when there was. */
  readonly because: BecauseCode | null;
  /** When Redis will be asked again at the earliest; 0 now. */
  readonly retryAfterMs: number;
  readonly stats: LeaseStats;
  /** Gives back what is held. Whoever waits is told that it is over. */
  close(): Promise<void>;
};

/** What is leased before a change of status or of limits may be spent for so long, and no longer. */
const VALID_MS = 1_000;
/** Enough is taken ahead for so long at the rate of the last while. */
const AHEAD_MS = 100;
/** A lease begins small and grows by at most this factor from one call to the next. */
const [FIRST_SIZE, GROWTH] = [8, 8];
const DEFAULT_SIZE = 10_000;
/** A denial is believed for at most so long: quota may come back before its time. */
const MOST_PATIENCE_MS = 1_000;

/** Sends of one IP that one call granted. */
class Chunk implements LeasedIp {
  readonly ip: string;
  readonly ipId: string;
  readonly hostname: string | null;
  readonly bind: string | null;
  left: number;
  /** When fewer are left, more are asked for. */
  low: number;
  readonly endsAtMs: number;
  /** `null`: allowed although Redis is out of reach; nothing goes back. */
  readonly part: Part | null;

  constructor(named: NamedIp, sends: number, endsAtMs: number, part: Part | null) {
    this.ip = named.ip;
    this.ipId = named.ipId;
    this.hostname = named.hostname;
    this.bind = named.bind;
    this.left = sends;
    this.low = sends >> 1;
    this.endsAtMs = endsAtMs;
    this.part = part;
  }
}

/** Monotonic, in ms. `turn`: as of this turn of the event loop, and never more than 64 readings old. */
export class LeaseClock {
  nowMs = 0;
  #readings = 0;
  #watching = false;

  read(): number {
    if (this.#readings > 0) {
      this.#readings -= 1;
      return this.nowMs;
    }
    this.#readings = 63;
    this.nowMs = performance.now();
    if (!this.#watching) {
      this.#watching = true;
      setImmediate(() => {
        this.#watching = false;
        this.#readings = 0;
      });
    }
    return this.nowMs;
  }
}

type Waiting = {
  count: number;
  sinceMs: number;
  timeoutMs: number;
  resolve: (ip: LeasedIp) => void;
  reject: (error: Error) => void;
  stop: () => void;
};

type Recovery = {
  /** Redis cannot be reached, so that there is no answer. */
  isUnreachable: (error: unknown) => boolean;
  /** Then IPs that were last seen active and without limits go on, uncounted. */
  allowActive: boolean;
};

const EMPTY = new Chunk(new NamedIp('', '', null, null), 0, 0, null);

export class SendLease implements Lease {
  because: BecauseCode | null = null;
  readonly #limiter: Limiter;
  readonly #target: Pick<LeaseOptions, 'ip' | 'pool' | 'family'>;
  readonly #size: number;
  readonly #clock: LeaseClock | null;
  readonly #recovery: Recovery;
  readonly #holder = randomBytes(9).toString('base64url');
  readonly #onClose: () => void;

  /** The one that is being spent, and those behind it. */
  #chunk = EMPTY;
  #behind: Chunk[] = [];
  #returns: Chunk[] = [];
  #waiting: Waiting[] = [];
  #calling: Promise<void> | null = null;
  #closed = false;
  #closing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #askAgainAtMs = 0;
  #givenAtMs = performance.now();
  #unlimited: Part | null = null;
  /** A mistake of the caller, thrown by its next take. */
  #error: Error | null = null;

  /** What the size follows: sends spent since the last call, and how large the last one was. */
  #want = FIRST_SIZE;
  /** The largest count that was not there. */
  #missed = 0;
  #held = 0;
  #calledAtMs = performance.now();
  readonly #sums = { roundTrips: 0, granted: 0, returned: 0, lost: 0 };

  constructor(
    limiter: Limiter,
    { ip, pool, family, size = DEFAULT_SIZE, clock = 'call' }: LeaseOptions,
    { turn, recovery, onClose }: { turn: LeaseClock; recovery: Recovery; onClose: () => void },
  ) {
    if (ip !== undefined && pool !== undefined) throw invalid('pool', 'name an ip or a pool, not both');
    if (!Number.isInteger(size) || size < 1 || size > MOST_SENDS_PER_TAKE) {
      throw invalid('size', `size is ${size}; it must be a whole number from 1 to ${MOST_SENDS_PER_TAKE}`);
    }
    if (clock !== 'call' && clock !== 'turn') {
      throw invalid('clock', `clock is "${clock}"; it must be "call" or "turn"`);
    }
    this.#limiter = limiter;
    this.#target = {
      ...(ip === undefined ? {} : { ip }),
      ...(pool === undefined ? {} : { pool }),
      ...(family ? { family } : {}),
    };
    this.#size = size;
    this.#clock = clock === 'turn' ? turn : null;
    this.#recovery = recovery;
    this.#onClose = onClose;
    // To be counted among those who share, before the first take.
    void this.#call('join');
  }

  tryTake(count = 1): LeasedIp | null {
    const chunk = this.#chunk;
    const left = chunk.left - count;
    if (
      left >= 0 &&
      count >= 1 &&
      (count | 0) === count &&
      (this.#clock === null ? performance.now() : this.#clock.read()) < chunk.endsAtMs
    ) {
      chunk.left = left;
      if (left < chunk.low) this.#refill(chunk);
      return chunk;
    }
    return this.#takeWithCare(count);
  }

  async take(
    count = 1,
    { timeoutMs = Number.POSITIVE_INFINITY, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<LeasedIp> {
    signal?.throwIfAborted();
    const ip = this.#waiting.length === 0 ? this.tryTake(count) : null;
    if (ip) return ip;
    checkCount(count);
    if (this.#closed) throw new Error('the lease is closed; open another one');
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        count,
        sinceMs: performance.now(),
        timeoutMs,
        resolve,
        reject,
        stop: () => {},
      };
      const leave = (error: Error) => {
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
        waiting.stop();
        reject(error);
      };
      const timer = Number.isFinite(timeoutMs)
        ? setTimeout(() => leave(this.#exhausted(count)), timeoutMs)
        : undefined;
      const onAbort = () => leave(signal!.reason as Error);
      signal?.addEventListener('abort', onAbort, { once: true });
      waiting.stop = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      this.#waiting.push(waiting);
      this.#ask();
    });
  }

  giveBack(ip: LeasedIp, count = 1): void {
    checkCount(count);
    if (!(ip instanceof Chunk))
      throw invalid('ip', 'this IP was not granted by a lease; give back what tryTake or take gave');
    if (!ip.part) return;
    if (ip.left + count > ip.part.sends) {
      throw invalid(
        'count',
        `count is ${count}, but only ${ip.part.sends - ip.left} sends of this IP are out`,
      );
    }
    ip.left += count;
    if (ip === this.#chunk || this.#behind.includes(ip) || this.#returns.includes(ip)) return;
    // Its chunk was closed before. A receipt is credited once, so this much and no more.
    const receipt = receiptOf(ip.part, ip.part.sends, ip.part.seq);
    this.#limiter.refund([{ receipt, count }]).then(
      ({ refunded }) => {
        this.#sums.returned += refunded;
      },
      () => {},
    );
  }

  get retryAfterMs(): number {
    return Math.max(0, this.#askAgainAtMs - performance.now());
  }

  get stats(): LeaseStats {
    const { roundTrips, granted, returned, lost } = this.#sums;
    const held = [this.#chunk, ...this.#behind, ...this.#returns].reduce(
      (sum, { part, left }) => sum + (part ? left : 0),
      0,
    );
    return { roundTrips, granted, returned, spent: granted - returned - lost - held };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) {
      waiting.stop();
      waiting.reject(new Error('the lease was closed while this take waited'));
    }
    if (this.#timer) clearTimeout(this.#timer);
    await this.#calling;
    this.endNow();
    await this.#call('end');
    this.#onClose();
  }

  /** Everything held is at its end, as when its second is over; it goes back with the next call. */
  endNow(): void {
    this.#retire([this.#chunk, ...this.#behind]);
    this.#chunk = EMPTY;
    this.#behind = [];
  }

  /** Ends what is held and waits until it is back: before a test clock moves. */
  async giveAllBack(): Promise<void> {
    await this.#calling;
    this.endNow();
    if (this.#returns.length > 0) await this.#call('join');
  }

  #takeWithCare(count: number): LeasedIp | null {
    checkCount(count);
    if (this.#closed) throw new Error('the lease is closed; open another one');
    const nowMs = performance.now();
    this.#dropEnded(nowMs);
    const chunks = [this.#chunk, ...this.#behind];
    const at = chunks.findIndex(({ left }) => left >= count);
    if (at >= 0) {
      const chunk = chunks[at]!;
      chunk.left -= count;
      // What is too little for this count may do for the next.
      if (this.#chunk.left === 0) this.#advance();
      if (chunk.left < chunk.low) this.#refill(chunk);
      return chunk;
    }
    if (count > this.#missed) this.#missed = count;
    this.#ask();
    if (!this.#error) return null;
    const error = this.#error;
    this.#error = null;
    throw error;
  }

  /** Ends chunks whose time is over. Those with the nearer end are spent first, so one by one from the front. */
  #dropEnded(nowMs: number): void {
    const ended = [this.#chunk, ...this.#behind].filter(
      (chunk) => chunk.endsAtMs <= nowMs || chunk.left === 0,
    );
    if (ended.length === 0) return;
    this.#retire(ended);
    this.#behind = this.#behind.filter((chunk) => !ended.includes(chunk));
    if (ended.includes(this.#chunk)) this.#chunk = this.#behind.shift() ?? EMPTY;
  }

  #advance(): void {
    if (this.#chunk.left > 0) this.#behind.push(this.#chunk);
    this.#chunk = this.#behind.shift() ?? EMPTY;
  }

  #retire(chunks: Chunk[]): void {
    for (const chunk of chunks) if (chunk.part && chunk.left > 0) this.#returns.push(chunk);
  }

  /** Half of what is held is spent: time to ask for more. */
  #refill(chunk: Chunk): void {
    // If a call is on its way already, this is noticed again at half of that.
    chunk.low = chunk.left >> 1;
    this.#ask();
  }

  #ask(): void {
    if (this.#calling || this.#closed) return;
    const nowMs = performance.now();
    if (nowMs >= this.#askAgainAtMs) void this.#call('take');
    else if (this.#waiting.length > 0) this.#wakeAt(this.#askAgainAtMs, nowMs);
  }

  /** One timer: to ask again for those who wait, and to give back what nobody spent. */
  #wakeAt(atMs: number, nowMs: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#wake(), Math.max(1, atMs - nowMs));
    // A process that has nothing else to do may end; only somebody who waits keeps it.
    if (this.#waiting.length === 0) this.#timer.unref();
  }

  #wake(): void {
    this.#timer = null;
    if (this.#closed) return;
    const nowMs = performance.now();
    this.#dropEnded(nowMs);
    if (this.#waiting.length > 0) this.#ask();
    else if (this.#returns.length > 0 && !this.#calling) void this.#call('join');
    else this.#plan(nowMs);
  }

  #plan(nowMs: number): void {
    if (this.#closed) return;
    if (this.#waiting.length > 0) {
      this.#ask();
      return;
    }
    const ends = [this.#chunk, ...this.#behind]
      .filter(({ left, part }) => part && left > 0)
      .map(({ endsAtMs }) => endsAtMs);
    if (ends.length > 0) this.#wakeAt(Math.min(...ends), nowMs);
  }

  #call(verb: 'take' | 'join' | 'end'): Promise<void> {
    const call = this.#exchange(verb).finally(() => {
      if (this.#calling === call) this.#calling = null;
      this.#plan(performance.now());
    });
    this.#calling = call;
    return call;
  }

  async #exchange(verb: 'take' | 'join' | 'end'): Promise<void> {
    // Measured before the request leaves, so that it ends here before it ends in Redis.
    const sentAtMs = performance.now();
    this.#dropEnded(sentAtMs);
    const returning = this.#returns.splice(0);
    const returns = returning
      .map(({ part, left }) => ({ ...part!, sends: left }))
      .sort((a, b) => a.seq - b.seq);
    const unused = returns.reduce((sum, { sends }) => sum + sends, 0);
    this.#resize(sentAtMs, unused);
    const least = this.#waiting[0]?.count ?? 1;
    const want = Math.max(least, this.#missed, Math.min(this.#want, this.#size));
    this.#missed = 0;
    this.#sums.roundTrips += 1;
    try {
      const waitedMs = sentAtMs - this.#givenAtMs;
      const reply = await this.#limiter.lease({
        holder: this.#holder,
        verb,
        want,
        least,
        waitedMs,
        target: this.#target,
        returns,
      });
      this.#sums.returned += unused;
      if (verb !== 'take') return;
      if (!reply?.verdict) return await this.#unknown();
      this.#receive(reply.verdict, reply.hourEndsInMs, sentAtMs);
    } catch (error) {
      // Whether it was done is unknown: what was asked for counts as spent, and what was on its way back as lost.
      this.#sums.lost += unused;
      this.#fail(error, verb);
    }
  }

  /** Follows the demand: what was spent since the last call, for AHEAD_MS. */
  #resize(nowMs: number, unused: number): void {
    const heldNow = [this.#chunk, ...this.#behind].reduce((sum, { left }) => sum + left, 0);
    const spent = Math.max(0, this.#held - heldNow - unused);
    const elapsedMs = Math.max(0.001, nowMs - this.#calledAtMs);
    const asRate = Math.ceil((spent / elapsedMs) * AHEAD_MS);
    this.#want = Math.max(1, Math.min(asRate, Math.max(FIRST_SIZE, spent) * GROWTH, this.#size));
    this.#held = heldNow;
    this.#calledAtMs = nowMs;
  }

  #receive(
    verdict: NonNullable<Awaited<ReturnType<Limiter['lease']>>>['verdict'] & {},
    hourEndsInMs: number[],
    sentAtMs: number,
  ): void {
    const nowMs = performance.now();
    this.because = verdict.because;
    if (verdict.granted === 0) {
      this.#askAgainAtMs =
        nowMs + Math.max(1, Math.min(verdict.retryAfterMs ?? MOST_PATIENCE_MS, MOST_PATIENCE_MS));
      this.#denyWaiting(verdict.retryAfterMs, nowMs);
      return;
    }
    this.because = null;
    this.#askAgainAtMs = 0;
    this.#givenAtMs = nowMs;
    this.#sums.granted += verdict.granted;
    this.#held += verdict.granted;
    this.#unlimited = verdict.limit === -1 ? verdict.parts[0]! : null;
    for (const [index, part] of verdict.parts.entries()) {
      const endsAtMs = sentAtMs + Math.min(VALID_MS, hourEndsInMs[index]!);
      this.#behind.push(new Chunk(part.ip, part.sends, endsAtMs, part));
    }
    if (this.#chunk.left === 0) this.#advance();
    this.#serve();
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting;
      const nowMs = performance.now();
      this.#dropEnded(nowMs);
      const chunk = [this.#chunk, ...this.#behind].find(({ left }) => left >= first!.count);
      if (!chunk) return;
      chunk.left -= first!.count;
      this.#waiting.shift();
      first!.stop();
      first!.resolve(chunk);
    }
  }

  /** Those for whom waiting is of no use hear it now. */
  #denyWaiting(retryAfterMs: number | null, nowMs: number): void {
    const first = this.#waiting[0];
    if (!first) return;
    const remainingMs = first.sinceMs + first.timeoutMs - nowMs;
    if (retryAfterMs !== null && retryAfterMs <= remainingMs) return;
    this.#waiting.shift();
    first.stop();
    first.reject(this.#exhausted(first.count, retryAfterMs));
  }

  async #unknown(): Promise<void> {
    this.#askAgainAtMs = performance.now() + MOST_PATIENCE_MS;
    this.because = 'unpublished';
    let error: Error | null = null;
    try {
      const { because } = await this.#limiter.unknown(this.#target);
      this.because = because!.code;
    } catch (caught) {
      error = caught as Error;
    }
    if (this.#waiting.length === 0) this.#error = error;
    for (const waiting of this.#waiting.splice(0)) {
      waiting.stop();
      waiting.reject(error ?? this.#exhausted(waiting.count, null));
    }
  }

  #fail(error: unknown, verb: string): void {
    const nowMs = performance.now();
    this.#askAgainAtMs = nowMs + MOST_PATIENCE_MS;
    if (!this.#recovery.isUnreachable(error)) {
      if (this.#waiting.length === 0) this.#error = error as Error;
      for (const waiting of this.#waiting.splice(0)) {
        waiting.stop();
        waiting.reject(error as Error);
      }
      return;
    }
    this.because = 'unreachable';
    if (verb === 'take' && this.#recovery.allowActive && this.#unlimited) {
      const chunk = new Chunk(this.#unlimited.ip, Number.MAX_SAFE_INTEGER, nowMs + VALID_MS, null);
      chunk.low = 0;
      this.#behind.push(chunk);
      if (this.#chunk.left === 0) this.#advance();
      this.#serve();
    }
  }

  #exhausted(count: number, retryAfterMs: number | null = this.retryAfterMs): QuotaExhausted {
    const { ip, pool } = this.#target;
    const from = ip ? `from ${ip}` : pool ? `from pool "${pool}"` : 'from any IP';
    const because = this.because && { code: this.because, scope: null, ipId: null, until: null };
    return new QuotaExhausted(`${count === 1 ? '1 send' : `${count} sends`} ${from}`, {
      retryAfterMs,
      because,
    });
  }
}

function checkCount(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > MOST_SENDS_PER_TAKE) {
    throw invalid('count', `count is ${count}; it must be a whole number from 1 to ${MOST_SENDS_PER_TAKE}`);
  }
}
