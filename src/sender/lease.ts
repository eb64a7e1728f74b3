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
import { type BecauseCode, MOST_SENDS_PER_TAKE, type Part, type Verdict } from '../redis/answer.ts';
import { type Demand, Tally } from '../redis/demand.ts';
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
   * `call` reads the clock for each take, which is nearly all that it costs. `turn` reads it once in each turn of the event
   * loop and every 256 sends: what is held may then be spent past its second by that much, and no more.
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
  /** Of these: given back unused, and spent by the callers (the rest is held, on its way back, or lost with a connection). */
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
/** A lease begins small and grows by at most this factor from one call to the next. Of two, one is there while more come. */
const [FIRST_SIZE, LEAST_SIZE, GROWTH] = [8, 2, 8];
const DEFAULT_SIZE = 10_000;
/** A lease is new for so long: others that share may not have begun yet. */
const NEW_MS = 1_000;
/** A denial is believed for at most so long: quota may come back before its time. */
const MOST_PATIENCE_MS = 1_000;
/** What callers give back late is gathered for so long, unless a call leaves anyway. */
const GATHER_MS = 100;
/** Timers cannot wait longer. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Sends of one IP that one call granted. */
class Chunk implements LeasedIp {
  readonly ip: string;
  readonly ipId: string;
  readonly hostname: string | null;
  readonly bind: string | null;
  left: number;
  /** When no more than so many are left, more are asked for. */
  low = -1;
  /** Down to so many left a take needs to look at nothing, neither at the clock. */
  free = Number.POSITIVE_INFINITY;
  endsAtMs: number;
  /** Given back after it had ended, and of that what Redis has. */
  late = 0;
  lateBack = 0;
  /** `null`: allowed although Redis is out of reach; nothing goes back. */
  readonly part: Part | null;

  constructor(named: LeasedIp, sends: number, endsAtMs: number, part: Part | null) {
    this.ip = named.ip;
    this.ipId = named.ipId;
    this.hostname = named.hostname;
    this.bind = named.bind;
    this.left = sends;
    this.endsAtMs = endsAtMs;
    this.part = part;
  }
}

/** One reading of the clock is good for so many looks, and a look for so many sends, in the same turn of the event loop. */
const [LOOKS_PER_READING, SENDS_PER_LOOK] = [16, 16];

/** The clock of a turn of the event loop, shared by the leases of a sender. */
export class Turn {
  #nowMs = 0;
  #looks = 0;
  #chunks: Chunk[] = [];
  #willEnd = false;

  read(): number {
    if (this.#looks > 0) {
      this.#looks -= 1;
      return this.#nowMs;
    }
    // Also a reading that found everything at its end must not be believed in another turn.
    if (!this.#willEnd) {
      this.#willEnd = true;
      setImmediate(() => this.#end());
    }
    this.#looks = LOOKS_PER_READING - 1;
    this.#nowMs = performance.now();
    return this.#nowMs;
  }

  /** A look at the clock was good for this chunk: the next sends need none. */
  free(chunk: Chunk): void {
    if (chunk.free === Number.POSITIVE_INFINITY) this.#chunks.push(chunk);
    chunk.free = Math.max(chunk.left - (SENDS_PER_LOOK - 1), chunk.low + 1);
  }

  #end(): void {
    for (const chunk of this.#chunks) chunk.free = Number.POSITIVE_INFINITY;
    this.#chunks = [];
    this.#looks = 0;
    this.#willEnd = false;
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

type Surroundings = {
  /** Shared by the leases of a sender. */
  turn: Turn;
  /** Redis cannot be reached, so that there is no answer. */
  isUnreachable: (error: unknown) => boolean;
  /** Then IPs that were last seen active and without limits go on, uncounted. */
  allowActive: boolean;
  /** On a test clock: nothing is taken before the sender would hear that the clock moves. */
  ready: Promise<void> | null;
  /** Is told what was spent, and what was wanted while Redis had none. */
  demand: Pick<Demand, 'note'>;
  onClose: () => void;
};

/** What goes back with a call, until it has arrived. */
type Returning = { chunks: Chunk[]; unused: number; late: { chunk: Chunk; sends: number }[] };
const NOTHING: Returning = { chunks: [], unused: 0, late: [] };
const sumOf = ({ unused, late }: Returning) =>
  late.reduce((sum, { chunk, sends }) => sum + sends - chunk.lateBack, unused);

const EMPTY = new Chunk({ ip: '', ipId: '', hostname: null, bind: null }, 0, 0, null);

export class SendLease implements Lease {
  because: BecauseCode | null = null;
  readonly #limiter: Limiter;
  readonly #target: Pick<LeaseOptions, 'ip' | 'pool' | 'family'>;
  readonly #size: number;
  readonly #turn: Turn | null;
  readonly #around: Surroundings;
  readonly #holder = randomBytes(9).toString('base64url');

  /** The one that is being spent, and those behind it. */
  #chunk = EMPTY;
  #behind: Chunk[] = [];
  /** What goes back with the next call: ended chunks, and those of which something came back after their end. */
  #returns: Chunk[] = [];
  #late = new Set<Chunk>();
  #onItsWay = NOTHING;
  #waiting: Waiting[] = [];
  #calling: Promise<void> | null = null;
  /** The clock is about to move: nothing is taken meanwhile. */
  #paused = false;
  #closed = false;
  #closing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #gathering: NodeJS.Timeout | null = null;

  /** Redis is not asked before that, unless for fewer than it denied. */
  #askAgainAtMs = 0;
  #denied = 0;
  #givenAtMs = performance.now();
  readonly #newUntilMs = performance.now() + NEW_MS;
  /** The IP that was last seen without limits, and the chunk to go on with while Redis is out of reach. */
  #unlimited: LeasedIp | null = null;
  #uncounted: Chunk | null = null;
  /** A mistake of the caller, thrown by its next take. */
  #error: Error | null = null;

  /** The size follows the demand: how many are asked for, what was held after the last call, and when that was. */
  #want = FIRST_SIZE;
  #held = 0;
  #calledAtMs = performance.now();
  /** The smallest and the largest count that was not there since then, and the largest of the last while. */
  #missed = { least: 0, most: 0 };
  #usual = 1;
  readonly #sums = { roundTrips: 0, granted: 0, returned: 0, lost: 0 };

  /** For people: what was spent as far as it was told, and the last miss, for which a `take` may go on to wait. */
  readonly #tally: Tally;
  #toldSpent = 0;
  #missedLast: { count: number; because: BecauseCode } | null = null;
  /** This miss is that of a `take`, which waits. */
  #willWait = false;

  constructor(
    limiter: Limiter,
    { ip, pool, family, size = DEFAULT_SIZE, clock = 'call' }: LeaseOptions,
    around: Surroundings,
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
    this.#tally = new Tally(limiter.namedBy({ ip, pool }));
    this.#size = size;
    this.#turn = clock === 'turn' ? around.turn : null;
    this.#around = around;
    // To be counted among those who share, before the first take.
    void this.#call('join');
  }

  tryTake(count = 1): LeasedIp | null {
    const chunk = this.#chunk;
    const left = chunk.left - count;
    if (left >= chunk.free && count >= 1 && (count | 0) === count) {
      chunk.left = left;
      return chunk;
    }
    return this.#look(count);
  }

  #look(count: number): LeasedIp | null {
    const chunk = this.#chunk;
    const left = chunk.left - count;
    if (
      left >= 0 &&
      count >= 1 &&
      (count | 0) === count &&
      (this.#turn ? this.#turn.read() : performance.now()) < chunk.endsAtMs
    ) {
      chunk.left = left;
      if (left <= chunk.low) this.#refill(chunk);
      if (this.#turn) this.#turn.free(chunk);
      return chunk;
    }
    return this.#takeWithCare(count);
  }

  async take(
    count = 1,
    { timeoutMs = Number.POSITIVE_INFINITY, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<LeasedIp> {
    signal?.throwIfAborted();
    if (this.#waiting.length === 0) {
      this.#willWait = true;
      try {
        const ip = this.tryTake(count);
        if (ip) return ip;
      } finally {
        this.#willWait = false;
      }
    }
    checkCount(count);
    if (this.#closed) throw new Error('the lease is closed; open another one');
    // `tryTake(n) ?? take(n)` wants them once.
    if (this.#missedLast?.count === count) this.#missedLast = null;
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
        this.#waiting = this.#waiting.filter((one) => one !== waiting);
        waiting.stop();
        this.#tellHeld(count);
        reject(error);
        // Those behind it may want fewer.
        this.#serve();
        if (this.#waiting.length > 0) this.#ask();
      };
      const timer =
        timeoutMs <= LONGEST_TIMER_MS
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
    const out = ip.part.sends - ip.left - ip.late;
    if (count > out) {
      throw invalid('count', `count is ${count}, but only ${out} sends of this IP are out`);
    }
    if (ip === this.#chunk || this.#behind.includes(ip)) {
      ip.left += count;
      if (this.#turn) ip.free += count;
      this.#serve();
      return;
    }
    ip.late += count;
    this.#late.add(ip);
    this.#gathering ??= setTimeout(() => {
      this.#gathering = null;
      this.#plan(performance.now());
    }, GATHER_MS);
  }

  get retryAfterMs(): number {
    return Math.max(0, this.#askAgainAtMs - performance.now());
  }

  get stats(): LeaseStats {
    const { roundTrips, granted, returned, lost } = this.#sums;
    let held = sumOf(this.#onItsWay);
    for (const { left } of [this.#chunk, ...this.#behind, ...this.#returns]) held += left;
    for (const { late, lateBack } of this.#late) held += late - lateBack;
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
    if (this.#gathering) clearTimeout(this.#gathering);
    this.endNow();
    await this.#calling;
    this.endNow();
    // Also what callers give back meanwhile.
    do await (this.#calling ?? this.#call('end'));
    while (this.#calling || this.#late.size + this.#returns.length > 0);
    this.#gathering = null;
    this.#tell();
    this.#around.onClose();
  }

  /** Everything held is at its end, as when its second is over; it goes back with the next call. */
  endNow(): void {
    this.#retire([this.#chunk, ...this.#behind]);
    this.#chunk = EMPTY;
    this.#behind = [];
  }

  /** Ends what is held, waits until it is back, and takes nothing until `goOn`: before a test clock moves. */
  async giveAllBack(): Promise<void> {
    this.#paused = true;
    this.endNow();
    while (this.#calling) await this.#calling;
    this.endNow();
    if (!this.#closed && this.#returns.length + this.#late.size > 0) await this.#call('join');
  }

  goOn(): void {
    this.#paused = false;
    this.#askAgainAtMs = 0;
    this.#plan(performance.now());
  }

  #takeWithCare(count: number): LeasedIp | null {
    checkCount(count);
    if (this.#closed) throw new Error('the lease is closed; open another one');
    if (this.#chunk !== EMPTY) {
      this.#dropEnded(performance.now());
      const chunk = this.#spend(count);
      if (chunk) return chunk;
    }
    const missed = this.#missed;
    if (missed.least === 0 || count < missed.least) missed.least = count;
    if (count > missed.most) missed.most = count;
    // While more are on their way nothing is held: it comes at once.
    if (this.because !== null && !this.#willWait) {
      this.#tellMiss();
      this.#missedLast = { count, because: this.because };
    }
    this.#ask();
    if (this.#uncounted) return this.#uncounted;
    if (!this.#error) return null;
    const error = this.#error;
    this.#error = null;
    throw error;
  }

  /** From the first chunk that has so many: what is too little for this count may do for the next. */
  #spend(count: number): Chunk | null {
    const chunk = this.#chunk.left >= count ? this.#chunk : this.#behind.find(({ left }) => left >= count);
    if (!chunk) return null;
    chunk.left -= count;
    if (chunk.left <= chunk.low) this.#refill(chunk);
    return chunk;
  }

  /** Ends chunks whose time is over or that are empty. */
  #dropEnded(nowMs: number): void {
    const goesOn = (chunk: Chunk) => chunk.left > 0 && nowMs < chunk.endsAtMs;
    const all = [this.#chunk, ...this.#behind];
    if (all.every(goesOn)) return;
    this.#retire(all.filter((chunk) => !goesOn(chunk)));
    this.#behind = all.filter(goesOn);
    this.#chunk = this.#behind.shift() ?? EMPTY;
  }

  #retire(chunks: Chunk[]): void {
    for (const chunk of chunks) if (chunk.left > 0) this.#returns.push(chunk);
  }

  /** Half of what was granted last is spent: time to ask for more. */
  #refill(chunk: Chunk): void {
    // If a call is on its way already, this is noticed again at half of that.
    chunk.low = chunk.left === 0 ? -1 : chunk.left >> 1;
    this.#ask();
  }

  /** How many would be of use, at least. */
  get #least(): number {
    return this.#waiting[0]?.count ?? (this.#missed.least || 1);
  }

  #ask(): void {
    if (this.#calling || this.#closed || this.#paused) return;
    const nowMs = performance.now();
    if (nowMs >= this.#askAgainAtMs || this.#least < this.#denied) void this.#call('take');
    else if (this.#waiting.length > 0) this.#wakeAt(this.#askAgainAtMs, nowMs);
  }

  /** One timer: to ask again for those who wait, and to give back what nobody spent. */
  #wakeAt(atMs: number, nowMs: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#plan(performance.now()), Math.max(1, atMs - nowMs));
    // A process that has nothing else to do may end; only somebody who waits keeps it.
    if (this.#waiting.length === 0) this.#timer.unref();
  }

  /** What is next, when nothing is on its way. */
  #plan(nowMs: number): void {
    if (this.#calling) return;
    const comesBackLate = this.#late.size > 0 && this.#gathering === null;
    if (this.#closed) {
      if (comesBackLate) void this.#call('end');
      return;
    }
    this.#dropEnded(nowMs);
    if (this.#waiting.length > 0) {
      this.#ask();
    } else if (this.#returns.length > 0 || comesBackLate) {
      // While Redis is out of reach it is tried as often as anything else.
      if (this.because !== 'unreachable' || nowMs >= this.#askAgainAtMs) void this.#call('join');
      else this.#wakeAt(this.#askAgainAtMs, nowMs);
    } else if (this.#chunk !== EMPTY) {
      const ends = [this.#chunk, ...this.#behind].map(({ endsAtMs }) => endsAtMs);
      this.#wakeAt(Math.min(...ends), nowMs);
    }
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
    if (this.#around.ready) await this.#around.ready;
    // Measured before the request leaves, so that it ends here before it ends in Redis.
    const sentAtMs = performance.now();
    this.#dropEnded(sentAtMs);
    this.#tell();
    const returning = this.#whatGoesBack();
    this.#onItsWay = returning;
    const least = this.#least;
    const want = this.#resize(verb, sentAtMs, returning.unused);
    this.#sums.roundTrips += 1;
    try {
      const waitedMs = sentAtMs - this.#givenAtMs;
      const reply = await this.#limiter.lease({
        holder: this.#holder,
        verb: verb === 'take' && sentAtMs < this.#newUntilMs ? 'begin' : verb,
        want,
        least,
        waitedMs,
        target: this.#target,
        returns: [
          ...returning.chunks.map(({ part, left }) => ({ ...part!, sends: left })),
          ...returning.late.map(({ chunk, sends }) => ({ ...chunk.part!, sends, seq: -chunk.part!.seq })),
        ],
      });
      this.#arrived();
      if (verb !== 'take') return;
      if (reply?.verdict) this.#receive(reply.verdict, reply.hourEndsInMs, sentAtMs, least);
      else await this.#unknown();
    } catch (error) {
      this.#fail(error, verb);
    }
  }

  #whatGoesBack(): Returning {
    const chunks = this.#returns.splice(0).sort((a, b) => a.part!.seq - b.part!.seq);
    const late = [...this.#late].map((chunk) => ({ chunk, sends: chunk.late }));
    this.#late.clear();
    return { chunks, unused: chunks.reduce((sum, { left }) => sum + left, 0), late };
  }

  #arrived(): void {
    this.#uncounted = null;
    if (this.because === 'unreachable') this.because = null;
    this.#sums.returned += sumOf(this.#onItsWay);
    for (const { chunk, sends } of this.#onItsWay.late) chunk.lateBack = sends;
    this.#onItsWay = NOTHING;
  }

  /** Follows the demand: what was spent since the last take, for AHEAD_MS; more than before as long as that was too little. */
  #resize(verb: 'take' | 'join' | 'end', nowMs: number, unused: number): number {
    this.#held -= unused;
    if (verb !== 'take') return 1;
    const heldNow = [this.#chunk, ...this.#behind].reduce((sum, { left }) => sum + left, 0);
    const spent = Math.max(0, this.#held - heldNow);
    const elapsedMs = Math.max(0.001, nowMs - this.#calledAtMs);
    const { most: missed } = this.#missed;
    const isShort = missed > 0 || this.#waiting.length > 0;
    if (elapsedMs > VALID_MS) {
      this.#want = FIRST_SIZE;
      this.#usual = 1;
    } else {
      const asRate = Math.ceil((spent / elapsedMs) * AHEAD_MS);
      const wished = Math.min(
        isShort ? Math.max(asRate, 2 * this.#want) : asRate,
        Math.max(FIRST_SIZE, spent) * GROWTH,
      );
      this.#want = isShort ? Math.max(wished, this.#want) : wished;
    }
    this.#usual = Math.max(this.#usual, missed);
    this.#want = Math.min(Math.max(this.#want, LEAST_SIZE * this.#usual), this.#size);
    this.#held = heldNow;
    this.#calledAtMs = nowMs;
    this.#missed = { least: 0, most: 0 };
    const waitedFor = this.#waiting.reduce((sum, { count }) => sum + count, 0);
    return Math.max(this.#want, missed, this.#waiting[0]?.count ?? 0, Math.min(waitedFor, this.#size));
  }

  #receive(verdict: Verdict, hourEndsInMs: number[], sentAtMs: number, least: number): void {
    const nowMs = performance.now();
    const { granted, parts, limit, retryAfterMs } = verdict;
    this.#error = null;
    this.#unlimited = granted > 0 && limit === -1 ? parts[0]!.ip : null;
    if (granted === 0) {
      this.because = verdict.because;
      this.#denied = least;
      this.#askAgainAtMs = nowMs + Math.max(1, Math.min(retryAfterMs ?? MOST_PATIENCE_MS, MOST_PATIENCE_MS));
      this.#denyWaiting(retryAfterMs, least, nowMs);
      return;
    }
    this.because = null;
    this.#denied = 0;
    this.#askAgainAtMs = retryAfterMs ? nowMs + Math.min(retryAfterMs, MOST_PATIENCE_MS) : 0;
    this.#givenAtMs = nowMs;
    this.#sums.granted += granted;
    this.#held += granted;
    for (const older of [this.#chunk, ...this.#behind]) older.low = -1;
    let after = granted;
    for (const [index, part] of parts.entries()) {
      const endsAtMs = sentAtMs + Math.min(VALID_MS, hourEndsInMs[index]!);
      // Of one IP, what came later goes back later, or it would not be credited.
      for (const older of [this.#chunk, ...this.#behind]) {
        if (older.ipId === part.ip.ipId) older.endsAtMs = Math.min(older.endsAtMs, endsAtMs);
      }
      const chunk = new Chunk(part.ip, part.sends, endsAtMs, part);
      after -= part.sends;
      chunk.low = Math.max(-1, Math.min((granted >> 1) - after, part.sends - 1));
      this.#behind.push(chunk);
    }
    if (this.#chunk.left === 0) this.#chunk = this.#behind.shift()!;
    this.#serve();
  }

  #serve(): void {
    this.#dropEnded(performance.now());
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      const ip = this.#uncounted ?? this.#spend(first.count);
      if (!ip) return;
      this.#waiting.shift();
      first.stop();
      first.resolve(ip);
    }
  }

  /** Those for whom waiting is of no use hear it now. */
  #denyWaiting(retryAfterMs: number | null, least: number, nowMs: number): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      const remainingMs = waiting.sinceMs + waiting.timeoutMs - nowMs;
      const isInTime = retryAfterMs !== null && retryAfterMs <= remainingMs;
      if (waiting.count < least || isInTime) return true;
      waiting.stop();
      this.#tellHeld(waiting.count);
      waiting.reject(this.#exhausted(waiting.count, retryAfterMs));
      return false;
    });
  }

  async #unknown(): Promise<void> {
    this.#askAgainAtMs = performance.now() + MOST_PATIENCE_MS;
    this.#denied = 0;
    this.#unlimited = null;
    this.because = 'unpublished';
    let error: Error | null = null;
    try {
      const { because } = await this.#limiter.unknown(this.#target);
      this.because = because!.code;
    } catch (caught) {
      if (this.#around.isUnreachable(caught)) throw caught;
      error = caught as Error;
    }
    this.#disappoint(error);
  }

  #fail(error: unknown, verb: 'take' | 'join' | 'end'): void {
    this.#askAgainAtMs = performance.now() + MOST_PATIENCE_MS;
    this.#denied = 0;
    const isUnreachable = this.#around.isUnreachable(error);
    // A take whose answer was lost counts as spent. What was on its way back goes once more: it is credited once.
    if (isUnreachable && verb !== 'end') {
      this.#returns.unshift(...this.#onItsWay.chunks);
      for (const { chunk } of this.#onItsWay.late) this.#late.add(chunk);
    } else {
      this.#sums.lost += sumOf(this.#onItsWay);
    }
    this.#onItsWay = NOTHING;
    if (!isUnreachable) {
      this.#disappoint(error as Error);
      return;
    }
    this.because = 'unreachable';
    if (this.#around.allowActive && this.#unlimited) {
      this.#uncounted ??= new Chunk(this.#unlimited, 0, 0, null);
      this.#serve();
    }
  }

  /** Nobody needs to wait any longer. A mistake is told to those who wait, or to the next who asks. */
  #disappoint(mistake: Error | null): void {
    if (this.#waiting.length === 0) this.#error = mistake;
    for (const waiting of this.#waiting.splice(0)) {
      waiting.stop();
      if (!mistake) this.#tellHeld(waiting.count);
      waiting.reject(mistake ?? this.#exhausted(waiting.count, null));
    }
  }

  /** Of what was wanted: with each call, so that spending itself counts nothing. */
  #tell(): void {
    this.#tellMiss();
    const more = this.stats.spent - this.#toldSpent;
    // What came back after it was told is made up for by what is spent next.
    if (more <= 0) return;
    this.#toldSpent += more;
    this.#around.demand.note(this.#tally, 1, more, more, null);
  }

  #tellMiss(): void {
    if (!this.#missedLast) return;
    const { count, because } = this.#missedLast;
    this.#missedLast = null;
    this.#around.demand.note(this.#tally, 1, count, 0, because);
  }

  #tellHeld(count: number): void {
    if (this.because !== null) this.#around.demand.note(this.#tally, 1, count, 0, this.because);
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
