/**
 * One contract, two implementations: the pure counter and the scripts go through the same random histories, and after
 * each step the whole answer and the whole record are equal. What is not in the pure core (how a publish carries counts
 * over, and how a reading becomes an answer) is written down here once more, in TypeScript.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TakeAnswer } from '../../src/redis/answer.ts';
import { type HotTexts, tellingEdges, unpackHot } from '../../src/redis/hot-record.ts';
import { accountKeys } from '../../src/redis/keys.ts';
import { createLimiter } from '../../src/redis/limiter.ts';
import { transact } from '../../src/redis/transact.ts';
import {
  type CounterState,
  charge,
  type Fence,
  heedFence,
  NEW_COUNTER,
  type Reading,
  read,
  refund,
  roomAt,
  settle,
} from '../../src/warmup/counter.ts';
import type { SendQuota, WindowLimits } from '../../src/warmup/quota.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { holdsFor } from '../support/drawn.ts';
import { type Fleet, startFleet, MONDAY as T0 } from '../support/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());

// ---- what is drawn

const orNull = <T>(arb: fc.Arbitrary<T>) => fc.option(arb, { nil: null, freq: 3 });
const ceilings = fc.record({ dailyByCeiling: fc.boolean(), hourlyByCeiling: fc.boolean() });
const bare = fc.oneof(
  fc
    .record({
      dailyLimit: orNull(fc.integer({ min: 1, max: 200 })),
      hourlyCap: fc.integer({ min: 1, max: 60 }),
    })
    .chain((limits) =>
      fc
        .integer({ min: 1, max: limits.hourlyCap })
        .map((burst) => ({ ...limits, burst: burst as number | null })),
    ),
  fc.integer({ min: 1, max: 200_000 }).chain((dailyLimit) =>
    orNull(fc.integer({ min: 1, max: dailyLimit })).map((burst) => ({
      dailyLimit,
      hourlyCap: null,
      burst,
    })),
  ),
  fc.constant({ dailyLimit: null, hourlyCap: null, burst: null }),
  fc.constant({ dailyLimit: 1_000_000_000, hourlyCap: 1_000_000_000, burst: 1_000_000_000 }),
);
const limits: fc.Arbitrary<WindowLimits> = fc.tuple(bare, ceilings).map(([a, b]) => ({ ...a, ...b }));

type Publish = {
  gate: SendQuota['gate'];
  /** Against the instant of the publish; 0 not held, infinity for good. */
  heldForMs: number;
  /** Begins so long before the instant of the publish; `null`: with the window that runs. */
  sinceMs: number | null;
  lengthsMs: number[];
  current: WindowLimits;
  next: WindowLimits;
};
const dayLength = fc.oneof(
  fc.constantFrom(23 * HOUR_MS, DAY_MS, 25 * HOUR_MS, 23.5 * HOUR_MS, 36 * HOUR_MS),
  fc.integer({ min: 5 * MINUTE_MS, max: 3 * HOUR_MS }),
);
const publish: fc.Arbitrary<Publish> = fc.record({
  gate: fc.constantFrom('warming', 'warming', 'warming', 'active', 'closed'),
  heldForMs: fc.oneof(
    { weight: 8, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.integer({ min: -HOUR_MS, max: 3 * DAY_MS }) },
    { weight: 1, arbitrary: fc.constant(Number.POSITIVE_INFINITY) },
  ),
  sinceMs: orNull(fc.oneof(fc.constant(0), fc.integer({ min: -HOUR_MS, max: 20 * HOUR_MS }))),
  lengthsMs: fc.array(dayLength, { minLength: 1, maxLength: 5 }),
  current: limits,
  next: limits,
});

type Step =
  | { do: 'take' | 'peek'; count: number | 'room' | 'room+1'; partial: boolean }
  | { do: 'refund'; which: number; part: number }
  | { do: 'clock'; ms: number }
  | { do: 'fence'; agoMs: number }
  | ({ do: 'publish' } & Publish);
const count = fc.oneof(
  fc.integer({ min: 1, max: 20 }),
  fc.integer({ min: 1, max: 1_000_000 }),
  fc.constantFrom('room' as const, 'room+1' as const),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('take' as const), count, partial: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('peek' as const), count, partial: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('refund' as const),
      which: fc.nat(),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('clock' as const),
      ms: fc.oneof(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 1, max: 90 * MINUTE_MS }),
        fc.integer({ min: 1, max: 30 * HOUR_MS }),
        fc.integer({ min: 1, max: 9 * DAY_MS }),
        fc.integer({ min: -3 * HOUR_MS, max: -1 }),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('fence' as const),
      agoMs: fc.oneof(
        fc.constant(0),
        fc.integer({ min: 1, max: 2 * MINUTE_MS }),
        fc.integer({ min: 1, max: 3 * HOUR_MS }),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constant({ do: 'publish' as const }), publish).map(([a, b]) => ({ ...a, ...b })),
  },
);

// ---- the twin of the scripts

type Receipt = { text: string; dayFromMs: number; hourFromMs: number; count: number };

class Twin {
  state: CounterState = NEW_COUNTER;
  quota!: SendQuota;
  nowMs = T0;
  readonly receipts: Receipt[] = [];
  fence: Fence | null = null;
  private readonly credited = new Set<string>();
  private readonly closed = new Set<Receipt>();
  /** The last 48 hours in which something was sent. */
  private filed: { fromMs: number; used: number }[] = [];

  /** As every script reads the record; it stays as it was until something is written. */
  known = () => heedFence(this.state, this.quota, this.fence);

  /** Nothing that was granted before is credited any more. */
  setFence(fence: Fence): void {
    this.fence = fence;
    for (const receipt of this.receipts) this.closed.add(receipt);
  }

  publish(quota: SendQuota): void {
    if (!this.quota) {
      this.quota = quota;
      this.state = settle(NEW_COUNTER, quota, this.nowMs);
      return;
    }
    let before = settle(this.known(), this.quota, this.nowMs);
    this.close(before);
    const steppedBack = before.atMs > this.nowMs + HOUR_MS;
    if (steppedBack) {
      const { dailyLimit, hourlyCap } = quota.current;
      before = {
        ...before,
        atMs: this.nowMs,
        level: 0,
        dayUsed: Math.max(dailyLimit ?? 0, before.dayUsed),
        hourUsed: Math.max(hourlyCap ?? 0, before.hourUsed),
      };
    }
    this.quota = quota;
    const after = settle(before, quota, this.nowMs);
    const earlier = (name: 'dayFromMs' | 'hourFromMs') =>
      !steppedBack && after[name] < before[name] ? this.filedBetween(after[name], before[name]) : 0;
    this.state = {
      ...after,
      dayUsed: before.dayUsed + earlier('dayFromMs'),
      hourUsed: before.hourUsed + earlier('hourFromMs'),
    };
  }

  /** A window that began before the one that was counted has the hours in between, too. */
  private filedBetween(fromMs: number, toMs: number): number {
    return this.filed
      .filter((hour) => hour.fromMs > fromMs - HOUR_MS && hour.fromMs < toMs)
      .reduce((sum, { used }) => sum + used, 0);
  }

  take(
    wanted: number,
    { partial, peek }: { partial: boolean; peek: boolean },
  ): Omit<TakeAnswer, 'granted'> & { count: number } {
    const reading = read(this.known(), this.quota, this.nowMs);
    const granted = reading.room >= wanted ? wanted : partial ? reading.room : 0;
    if (granted === 0) {
      const at = roomAt(this.known(), this.quota, this.nowMs, partial ? 1 : wanted);
      const binds =
        at === null && reading.binds !== 'status' && reading.binds !== 'hold' ? 'count' : reading.binds!;
      return {
        ...this.words(reading),
        count: 0,
        retryAfterMs: at === null ? null : at - this.nowMs,
        because: this.because(binds, at),
      };
    }
    const charged = charge(reading.state, granted);
    if (!peek) {
      this.close(charged);
      this.state = charged;
      const { dayFromMs, hourFromMs, seq } = charged;
      const text = `${TEXTS.id}.${dayFromMs}.${hourFromMs}.${granted}.${seq}`;
      this.receipts.push({ text, dayFromMs, hourFromMs, count: granted });
    }
    const after = read(charged, this.quota, this.nowMs);
    const because =
      granted === wanted
        ? null
        : this.because(after.binds ?? 'count', roomAt(charged, this.quota, this.nowMs, 1));
    return { ...this.words(after), count: granted, allowed: true, retryAfterMs: 0, because };
  }

  refund(receipt: Receipt, count: number): number {
    const back = refund(this.known(), this.quota, this.nowMs, { ...receipt, count });
    if (back.state.dayFromMs !== receipt.dayFromMs || this.credited.has(receipt.text)) return 0;
    if (this.closed.has(receipt)) return 0;
    this.credited.add(receipt.text);
    this.close(back.state);
    this.state = back.state;
    return back.refunded;
  }

  /** Files an hour that is over. With a day that is over its receipts are, also if the clock comes back to it. */
  private close({ dayFromMs, hourFromMs }: CounterState): void {
    if (hourFromMs !== this.state.hourFromMs && this.state.hourUsed > 0) {
      this.filed = [...this.filed, { fromMs: this.state.hourFromMs, used: this.state.hourUsed }].slice(-48);
    }
    if (dayFromMs !== this.state.dayFromMs) for (const receipt of this.receipts) this.closed.add(receipt);
  }

  private words({ limit, remaining, resetsAtMs }: Reading) {
    const resetAfterMs = Math.max(0, resetsAtMs - this.nowMs);
    return { allowed: false, limit, remaining, resetAfterMs };
  }

  private because(code: NonNullable<Reading['binds']>, at: number | null): TakeAnswer['because'] {
    const { heldUntilMs } = this.quota;
    const untilMs =
      code === 'status' || (code === 'hold' && heldUntilMs === Number.POSITIVE_INFINITY)
        ? null
        : code === 'hold'
          ? heldUntilMs
          : at;
    return {
      code,
      scope: null,
      ipId: TEXTS.id,
      until: untilMs === null ? null : new Date(untilMs).toISOString(),
    };
  }
}

const TEXTS: HotTexts = {
  id: 'ip_1',
  address: '203.0.113.7',
  hostname: 'mta7.example.com',
  bind: null,
  pools: ['pool_1'],
};

let accounts = 0;
async function walk(first: Publish, steps: readonly Step[]): Promise<void> {
  accounts += 1;
  const account = { id: `acct_${accounts}`, parentId: null };
  const keys = accountKeys(account);
  const limiter = createLimiter(fleet.engine.scripts, account);
  const ip = TEXTS.address;
  // Receipts name the id, and the limiter looks up whose address that is.
  await fleet.redis.set(keys.ip(TEXTS.id), JSON.stringify({ rev: 1, address: ip }));
  const twin = new Twin();

  const publishBoth = async ({ sinceMs, lengthsMs, heldForMs, gate, current, next }: Publish) => {
    const running =
      sinceMs === null && twin.quota ? settle(twin.known(), twin.quota, twin.nowMs).dayFromMs : null;
    let edge = running !== null && running <= twin.nowMs ? running : twin.nowMs - Math.max(0, sinceMs ?? 0);
    const fromMs = edge;
    // The published window is the one that runs.
    while (edge + lengthsMs[0]! <= twin.nowMs) edge += lengthsMs[0]!;
    const edges = lengthsMs.map((length) => (edge += length));
    const heldUntilMs = heldForMs === 0 ? 0 : twin.nowMs + heldForMs;
    const quota = { gate, current, next, heldUntilMs, fromMs, toMs: edges[0]!, edgesMs: edges.slice(1) };
    const scopes = ['all', 'pool_1'];
    const item = { check: [], run: [], publish: [{ texts: TEXTS, quota, known: false, was: [], scopes }] };
    await transact(fleet.engine.scripts, account, [item], { whole: true });
    twin.publish(quota);
  };
  const setClock = (ms: number) => fleet.setClock(ms);

  await setClock(T0);
  await publishBoth(first);
  for (const one of steps) {
    switch (one.do) {
      case 'clock':
        twin.nowMs = Math.max(T0, twin.nowMs + one.ms);
        await setClock(twin.nowMs);
        break;
      case 'fence': {
        const fence = { firstSeq: (twin.fence?.firstSeq ?? 0) + 1e11, atMs: twin.nowMs - one.agoMs };
        const packed = Buffer.alloc(16);
        packed.writeDoubleLE(fence.firstSeq, 0);
        packed.writeDoubleLE(fence.atMs, 8);
        await fleet.redis.set(keys.fence, packed);
        twin.setFence(fence);
        break;
      }
      case 'publish':
        await publishBoth(one);
        break;
      case 'refund': {
        const receipt = twin.receipts[one.which % Math.max(1, twin.receipts.length)];
        if (!receipt) break;
        const part = Math.max(1, Math.round(one.part * receipt.count));
        const { refunded } = await limiter.refund([{ receipt: receipt.text, count: part }]);
        expect(refunded).toBe(twin.refund(receipt, part));
        break;
      }
      default: {
        const { room } = read(twin.known(), twin.quota, twin.nowMs);
        const wanted =
          typeof one.count === 'number'
            ? one.count
            : Math.min(1_000_000, Math.max(1, one.count === 'room' ? room : room + 1));
        const request = { ip, count: wanted, partial: one.partial };
        const peek = one.do === 'peek';
        const { granted, ...answer } = await (peek ? limiter.peek(request) : limiter.take(request));
        const { count, ...expected } = twin.take(wanted, { partial: one.partial, peek });
        expect(answer).toEqual(expected);
        const grant = {
          ip,
          ipId: TEXTS.id,
          count,
          receipt: peek ? '' : twin.receipts.at(-1)?.text,
          hostname: TEXTS.hostname,
          bind: null,
        };
        expect(granted).toEqual(count === 0 ? [] : [grant]);
        // The wait, against the scripts themselves: exactly then it succeeds, and a millisecond before it does not.
        if (answer.retryAfterMs) {
          await setClock(twin.nowMs + answer.retryAfterMs - 1);
          expect((await limiter.peek(request)).allowed).toBe(false);
          await setClock(twin.nowMs + answer.retryAfterMs);
          const then = await limiter.peek(request);
          expect(then.allowed).toBe(true);
          if (!one.partial) expect(then.granted[0]!.count).toBe(wanted);
          await setClock(twin.nowMs);
        }
      }
    }
    const { state, quota, texts } = unpackHot((await fleet.redis.getBuffer(keys.hot(ip)))!);
    const published = { ...twin.quota, edgesMs: tellingEdges(twin.quota) };
    expect({ state, quota, texts }).toEqual({ state: twin.state, quota: published, texts: TEXTS });
  }
}

test('the scripts and the pure counter agree on every answer and every record of random histories', async () => {
  await holdsFor(
    fc.asyncProperty(publish, fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }), walk),
    300,
  );
});
