/**
 * Which IP does a pool use? The indexed script against a naive model that looks at every member each time: it reads all
 * hot records, sorts them by the rule and spreads the count. Both go through the same random lives of a small fleet.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as ips from '../../src/fleet/ips.ts';
import type { Pool } from '../../src/fleet/pool.ts';
import * as pools from '../../src/fleet/pools.ts';
import type { TakeAnswer } from '../../src/redis/answer.ts';
import { unpackHot } from '../../src/redis/hot-record.ts';
import type { TakeRequest } from '../../src/redis/limiter.ts';
import { type CounterState, charge, NEW_COUNTER, read } from '../../src/warmup/counter.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';
import type { SendQuota } from '../../src/warmup/quota.ts';
import { readStoredIp } from '../../src/warmup/stored-ip.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { holdsFor } from '../support/drawn.ts';
import { bookOf, type Fleet, startFleet, MONDAY as T0, table } from '../support/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    book: bookOf(
      table('few', 'daily', [6, 9, 20, 40]),
      table('by-hour', 'hourly', [3, 5, 8, 13]),
      table('opens', 'daily', [4, null, null]),
    ),
  });
});
afterAll(() => fleet.stop());

// ---- what is drawn

type NewIp = {
  status: 'provisioning' | 'active' | 'warming';
  family: 4 | 6;
  plan: string;
  burst: number | null;
  ceiling: { perDay: number | null; perHour: number | null } | null;
  pools: number[];
  /** Begins so long after the one before, so that their days turn at different times. */
  laterMs: number;
};
const few = <T>(arb: fc.Arbitrary<T>, freq = 3) => fc.option(arb, { nil: null, freq });
/** Four times out of five not at all. */
const rarely = <T>(arb: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: arb });
const newIp: fc.Arbitrary<NewIp> = fc.record({
  status: fc.constantFrom('warming', 'warming', 'warming', 'warming', 'warming', 'active', 'provisioning'),
  family: fc.constantFrom(4, 4, 6),
  plan: fc.constantFrom('few', 'by-hour', 'few+by-hour', 'opens'),
  burst: few(fc.integer({ min: 1, max: 6 })),
  ceiling: rarely(
    fc.record({
      perDay: few(fc.integer({ min: 1, max: 30 })),
      perHour: few(fc.integer({ min: 1, max: 10 })),
    }),
  ),
  pools: fc.subarray([0, 1, 2]),
  laterMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3 * HOUR_MS })),
});
const newPool = fc.record({
  warmingShare: fc.constantFrom(1, 1, 0.3, 0),
  ceiling: rarely(
    fc.record({
      perDay: few(fc.integer({ min: 1, max: 40 })),
      perHour: few(fc.integer({ min: 1, max: 15 })),
    }),
  ),
  isDefault: fc.constantFrom(false, false, false, true),
});

const which = fc.nat({ max: 100 });
const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('take' as const),
      pool: few(fc.nat({ max: 2 })),
      count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 40 })),
      partial: fc.constantFrom(false, false, true),
      among: rarely(fc.array(which, { minLength: 1, maxLength: 4 })),
      family: rarely(fc.constantFrom(4 as const, 6 as const)),
      peek: fc.constantFrom(false, false, true),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('takeIp' as const),
      which,
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('refund' as const), which }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('clock' as const),
      ms: fc.oneof(
        fc.integer({ min: 1, max: 10 * MINUTE_MS }),
        fc.integer({ min: 1, max: 3 * HOUR_MS }),
        fc.integer({ min: 1, max: 2 * DAY_MS }),
      ),
      work: fc.boolean(),
    }),
  },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('hold' as const),
      which,
      pool: few(fc.nat({ max: 2 }), 2),
      sending: fc.boolean(),
      forMs: few(fc.integer({ min: 1, max: 30 * HOUR_MS })),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('resume' as const), which, pool: few(fc.nat({ max: 2 }), 2) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('join' as const), which, pool: fc.nat({ max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), which, pool: fc.nat({ max: 2 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('release' as const, 'restore' as const, 'end' as const, 'start' as const),
      which,
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

// ---- the model

type Member = { ip: DedicatedIp; state: CounterState; quota: SendQuota };
type Gate = {
  share: number;
  hourMs: number;
  warming: number;
  total: number;
  ceiling: { state: CounterState; quota: SendQuota } | null;
};

function gateOf(pool: Pool, nowMs: number): Gate {
  const { perDay, perHour } = pool.ceiling;
  const limits = {
    dailyLimit: perDay,
    hourlyCap: perHour,
    burst: null,
    dailyByCeiling: true,
    hourlyByCeiling: true,
  };
  const fromMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
  const quota = {
    gate: 'active' as const,
    heldUntilMs: 0,
    fromMs,
    toMs: fromMs + DAY_MS,
    current: limits,
    next: limits,
    edgesMs: [],
  };
  const ceiling = perDay === null && perHour === null ? null : { state: NEW_COUNTER, quota };
  return { share: pool.warmingShare, hourMs: 0, warming: 0, total: 0, ceiling };
}

function choose(
  members: Member[],
  gate: Gate | null,
  request: { count: number; partial: boolean; peek: boolean },
  nowMs: number,
) {
  const { count, partial, peek } = request;
  const inOrder = members
    .map(({ ip, state, quota }) => {
      const reading = read(state, quota, nowMs);
      const { dayUsed, hourUsed } = reading.state;
      const { dailyLimit, hourlyCap } = windowLimitsAt(quota, reading.state.atMs);
      const unlimited = dailyLimit === null && hourlyCap === null;
      const used = unlimited
        ? hourUsed / 1e12
        : Math.max(
            dayUsed / (dailyLimit ?? Number.POSITIVE_INFINITY),
            hourUsed / (hourlyCap ?? Number.POSITIVE_INFINITY),
          );
      return {
        address: ip.address,
        room: reading.room,
        warming: quota.gate === 'warming' && !unlimited,
        used,
      };
    })
    .filter(({ room }) => room >= 1)
    .sort(
      (a, b) => Number(b.warming) - Number(a.warming) || a.used - b.used || (a.address < b.address ? -1 : 1),
    );

  const ceilingRoom = gate?.ceiling
    ? read(gate.ceiling.state, gate.ceiling.quota, nowMs).room
    : Number.POSITIVE_INFINITY;
  let missing = ceilingRoom >= count ? count : partial ? ceilingRoom : 0;
  const wanted = missing;
  if (gate && Math.floor(nowMs / HOUR_MS) * HOUR_MS > gate.hourMs) {
    Object.assign(gate, { hourMs: Math.floor(nowMs / HOUR_MS) * HOUR_MS, warming: 0, total: 0 });
  }
  let share =
    gate && gate.share < 1
      ? Math.max(0, Math.floor(gate.share * (gate.total + count)) - gate.warming)
      : Number.POSITIVE_INFINITY;
  const granted = new Map<string, number>();
  for (const bounded of [true, false]) {
    for (const one of inOrder) {
      const already = granted.get(one.address) ?? 0;
      const part = Math.min(
        missing,
        one.room - already,
        bounded && one.warming ? share : Number.POSITIVE_INFINITY,
      );
      if (part < 1) continue;
      granted.set(one.address, already + part);
      missing -= part;
      if (one.warming) share -= part;
    }
  }
  if (wanted === 0 || (missing > 0 && !partial) || granted.size === 0) return [];
  const total = wanted - missing;
  if (gate && !peek) {
    gate.total += total;
    for (const one of inOrder) if (one.warming) gate.warming += granted.get(one.address) ?? 0;
    if (gate.ceiling)
      gate.ceiling.state = charge(read(gate.ceiling.state, gate.ceiling.quota, nowMs).state, total);
  }
  return [...granted];
}

const windowLimitsAt = (quota: SendQuota, atMs: number) => (atMs < quota.toMs ? quota.current : quota.next);

/** Would the same take succeed at an instant, if nobody else took until then? */
function succeedsAt(members: Member[], gate: Gate | null, need: number, atMs: number): boolean {
  if (gate?.ceiling && read(gate.ceiling.state, gate.ceiling.quota, atMs).room < need) return false;
  return members.reduce((sum, { state, quota }) => sum + read(state, quota, atMs).room, 0) >= need;
}

/** Where anything can change for a month, and between; the last millisecond before each edge too. */
function* instants(members: Member[], nowMs: number): Generator<number> {
  for (let ms = 0; ms < 32 * DAY_MS; ms = Math.ceil(ms * 1.25) + 10 * MINUTE_MS) yield nowMs + ms;
  for (const { quota } of members) {
    for (const edgeMs of [quota.toMs, ...quota.edgesMs, quota.heldUntilMs]) {
      if (edgeMs > nowMs && Number.isFinite(edgeMs)) yield* [edgeMs - 1, edgeMs, edgeMs + HOUR_MS];
    }
  }
}

// ---- the walk

const seen = { takes: 0, granted: 0, spread: 0, waits: 0, never: 0, jumps: 0 };

async function walk(
  newIps: NewIp[],
  newPools: { warmingShare: number; ceiling: NewIp['ceiling']; isDefault: boolean }[],
  steps: Step[],
) {
  await fleet.reset();
  const { tenant, limiter, redis } = fleet;
  const made: Pool[] = [];
  const gates = new Map<string, Gate>();
  let defaultPool: string | null = null;
  for (const [index, { ceiling, ...rest }] of newPools.entries()) {
    const pool = await pools.createPool(tenant, {
      name: `pool ${index}`,
      ...rest,
      ...(ceiling && { ceiling }),
    });
    made.push(pool);
    if (rest.isDefault) defaultPool = pool.id;
    if (pool.warmingShare < 1 || pool.ceiling.perDay !== null || pool.ceiling.perHour !== null) {
      gates.set(pool.id, gateOf(pool, await fleet.now()));
    }
  }
  const ids: string[] = [];
  for (const { status, family, plan, burst, ceiling, laterMs, pools: joins } of newIps) {
    await fleet.advance({ ms: laterMs, work: false });
    const ip = await fleet.bring({ status: status === 'active' ? 'active' : 'provisioning', family });
    ids.push(ip.id);
    for (const index of joins) await pools.addIpToPool(tenant, made[index]!.id, ip.id);
    if (status === 'warming') await ips.startWarmup(tenant, ip.id, { plan, burst });
    if (ceiling) await ips.setCeiling(tenant, ip.id, ceiling);
  }
  const idAt = (index: number) => ids[index % ids.length]!;

  async function members(scope: string | null): Promise<Member[]> {
    const all: Member[] = [];
    for (const id of ids) {
      const ip = readStoredIp(id, (await redis.get(tenant.keys.ip(id)))!);
      if (ip.status === 'released' || ip.status === 'cooldown') continue;
      if (scope !== null && !ip.pools.includes(scope)) continue;
      all.push({ ip, ...unpackHot((await redis.getBuffer(tenant.keys.hot(ip.address)))!) });
    }
    return all;
  }

  const receipts: string[] = [];
  let waiting: { request: TakeRequest; retryAfterMs: number } | null = null;

  async function take(
    request: TakeRequest & { count: number; partial: boolean },
    peek: boolean,
  ): Promise<TakeAnswer> {
    const scope = request.pool ?? defaultPool;
    const gate = scope === null ? null : (gates.get(scope) ?? null);
    const nowMs = await fleet.now();
    const eligible = (await members(scope)).filter(
      ({ ip }) =>
        (!request.among || request.among.includes(ip.id)) &&
        (!request.family || ip.address.includes(':') === (request.family === 6)),
    );
    const need = request.partial ? 1 : request.count;
    // Before the grant: what would happen if nobody took is asked of the records as they are now.
    const expected = choose(eligible, gate, { ...request, peek }, nowMs);
    const answer = await (peek ? limiter.peek(request) : limiter.take(request));
    expect(answer.granted.map(({ ip, count }) => [ip, count])).toEqual(expected);
    expect(answer.allowed).toBe(expected.length > 0);
    for (const { receipt } of answer.granted) if (!peek) receipts.push(receipt);
    seen.takes += 1;
    seen.granted += expected.length > 0 ? 1 : 0;
    seen.spread += expected.length > 1 ? 1 : 0;
    if (answer.allowed) {
      expect(answer.retryAfterMs).toBe(0);
      return answer;
    }
    expect(answer.because).not.toBeNull();
    const { retryAfterMs } = answer;
    if (retryAfterMs === null) seen.never += 1;
    else {
      seen.waits += 1;
      expect(retryAfterMs).toBeGreaterThan(0);
      expect(succeedsAt(eligible, gate, need, nowMs + retryAfterMs)).toBe(true);
      expect(succeedsAt(eligible, gate, need, nowMs + retryAfterMs - 1)).toBe(false);
    }
    for (const atMs of instants(eligible, nowMs)) {
      if (atMs - nowMs < (retryAfterMs ?? Number.POSITIVE_INFINITY)) {
        expect(succeedsAt(eligible, gate, need, atMs)).toBe(false);
      }
    }
    return answer;
  }

  for (const one of steps) {
    // What is forbidden at the moment (a conflict, no such member) is no matter here.
    const attempt = async (change: () => Promise<unknown>) => {
      waiting = null;
      await change().catch((error) => {
        if (!(error instanceof WarmlineError)) throw error;
      });
    };
    const poolAt = (index: number) => made[index]!.id;
    switch (one.do) {
      case 'take': {
        const { pool, among, family } = one;
        const request = {
          count: one.count,
          partial: one.partial,
          ...(pool !== null && { pool: poolAt(pool) }),
          ...(among && { among: [...new Set(among.map(idAt))] }),
          ...(family && { family }),
        };
        const { retryAfterMs } = await take(request, one.peek);
        waiting = retryAfterMs ? { request, retryAfterMs } : null;
        break;
      }
      case 'wait': {
        if (!waiting) break;
        const { request, retryAfterMs } = waiting as {
          request: TakeRequest & { count: number; partial: boolean };
          retryAfterMs: number;
        };
        await fleet.advance({ ms: retryAfterMs - 1, work: false });
        expect(await take(request, false)).toMatchObject({ allowed: false, retryAfterMs: 1 });
        await fleet.advance({ ms: 1, work: false });
        expect((await take(request, false)).allowed).toBe(true);
        seen.jumps += 1;
        waiting = null;
        break;
      }
      case 'takeIp':
        await attempt(async () => {
          const { granted } = await limiter.take({ ip: idAt(one.which), count: one.count, partial: true });
          for (const { receipt } of granted) receipts.push(receipt);
        });
        break;
      case 'refund': {
        const receipt = receipts[one.which % Math.max(1, receipts.length)];
        if (receipt) await attempt(() => limiter.refund([{ receipt }]));
        break;
      }
      case 'clock':
        waiting = null;
        await fleet.advance({ ms: one.ms, work: one.work });
        break;
      case 'hold': {
        const untilMs = one.forMs === null ? null : (await fleet.now()) + one.forMs;
        const request = { sending: one.sending, advance: !one.sending, because: 'a test', untilMs };
        await attempt(() =>
          one.pool === null
            ? ips.holdIp(tenant, idAt(one.which), request)
            : pools.holdPool(tenant, poolAt(one.pool), request),
        );
        break;
      }
      case 'resume':
        await attempt(() =>
          one.pool === null
            ? ips.resumeIp(tenant, idAt(one.which))
            : pools.resumePool(tenant, poolAt(one.pool)),
        );
        break;
      case 'join':
        await attempt(() => pools.addIpToPool(tenant, poolAt(one.pool), idAt(one.which)));
        break;
      case 'leave':
        await attempt(() => pools.removeIpFromPool(tenant, poolAt(one.pool), idAt(one.which)));
        break;
      case 'release':
        await attempt(() => ips.releaseIp(tenant, idAt(one.which)));
        break;
      case 'restore':
        await attempt(() => ips.restoreIp(tenant, idAt(one.which)));
        break;
      case 'end':
        await attempt(() => ips.endWarmup(tenant, idAt(one.which)));
        break;
      case 'start':
        await attempt(() => ips.startWarmup(tenant, idAt(one.which), { plan: 'few+by-hour' }));
        break;
    }
  }
}

describe('the choice of a pool', () => {
  test('is what looking at every member gives, in every random life of a fleet', async () => {
    await holdsFor(
      fc.asyncProperty(
        fc.array(newIp, { minLength: 1, maxLength: 12, size: 'max' }),
        fc.tuple(newPool, newPool, newPool),
        fc.array(step, { minLength: 1, maxLength: 50, size: 'max' }),
        walk,
      ),
      100,
    );
    // A walk that grants nothing, or never waits, would prove nothing.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(2);
  });

  test('is never another pool: an unknown one is not found, by any spelling', async () => {
    await fleet.reset();
    await fleet.warming();
    await pools.createPool(fleet.tenant, { name: 'marketing', isDefault: true });
    for (const pool of ['Marketing', 'marketing ', 'all', '', 'pool_0', '-', ':', '*']) {
      await expect(fleet.limiter.take({ pool })).rejects.toMatchObject({ code: 'not_found', param: 'pool' });
    }
  });

  test('of an empty pool gives nothing, and names no wait', async () => {
    await fleet.reset();
    await fleet.warming();
    await pools.createPool(fleet.tenant, { name: 'empty' });
    expect(await fleet.limiter.take({ pool: 'empty' })).toMatchObject({
      allowed: false,
      retryAfterMs: null,
      because: { code: 'status', ipId: null, until: null },
    });
  });

  test('of a pool whose IPs are all held waits until the first of them is free again', async () => {
    await fleet.reset();
    const { tenant, limiter } = fleet;
    await pools.createPool(tenant, { name: 'held' });
    const [first, second] = [await fleet.warming(), await fleet.warming()];
    for (const ip of [first, second]) await pools.addIpToPool(tenant, 'held', ip.id);
    await ips.holdIp(tenant, first.id, { sending: true, advance: false, because: 'blocked', untilMs: null });
    await ips.holdIp(tenant, second.id, {
      sending: true,
      advance: false,
      because: 'blocked',
      untilMs: T0 + 2 * HOUR_MS,
    });
    expect(await limiter.take({ pool: 'held' })).toMatchObject({
      allowed: false,
      retryAfterMs: 2 * HOUR_MS,
      because: { code: 'hold', ipId: second.id, until: new Date(T0 + 2 * HOUR_MS).toISOString() },
    });
    await ips.holdIp(tenant, second.id, { sending: true, advance: false, because: 'blocked', untilMs: null });
    expect(await limiter.take({ pool: 'held' })).toMatchObject({
      allowed: false,
      retryAfterMs: null,
      because: { code: 'hold', until: null },
    });
  });

  test('waits for several IPs together, also when they are held for weeks', async () => {
    await fleet.reset();
    const held = [await fleet.warming(), await fleet.warming()];
    for (const [index, { id }] of held.entries()) {
      const untilMs = T0 + (20 + index) * DAY_MS;
      await ips.holdIp(fleet.tenant, id, { sending: true, advance: true, because: 'blocked', untilMs });
    }
    // 20 an hour each: 30 need both.
    expect(await fleet.limiter.take({ count: 30 })).toMatchObject({
      allowed: false,
      retryAfterMs: 21 * DAY_MS,
    });
  });

  test('asks only the IPs that were named, also when the ceiling of the pool denies', async () => {
    await fleet.reset();
    const { tenant, limiter } = fleet;
    await pools.createPool(tenant, { name: 'low', ceiling: { perDay: null, perHour: 2 } });
    const [first, second] = [await fleet.warming(), await fleet.warming()];
    for (const { id } of [first, second]) await pools.addIpToPool(tenant, 'low', id);
    await ips.holdIp(tenant, second.id, { sending: true, advance: false, because: 'blocked', untilMs: null });
    await limiter.take({ pool: 'low', count: 2 });
    expect(await limiter.take({ pool: 'low', among: [second.id] })).toMatchObject({
      allowed: false,
      retryAfterMs: null,
    });
    expect(await limiter.take({ pool: 'low', among: [first.id] })).toMatchObject({
      allowed: false,
      retryAfterMs: HOUR_MS,
      because: { code: 'ceiling' },
    });
  });

  test('says that the ceiling of the pool bound when it gave only a part', async () => {
    await fleet.reset();
    const { tenant, limiter } = fleet;
    await pools.createPool(tenant, { name: 'low', ceiling: { perDay: null, perHour: 7 } });
    const [ip] = await fleet.bringMany(1, 'active');
    await pools.addIpToPool(tenant, 'low', ip!.id);
    const expected = {
      allowed: true,
      granted: [{ count: 7 }],
      limit: 7,
      remaining: 0,
      resetAfterMs: HOUR_MS,
      because: { code: 'ceiling', until: new Date(T0 + HOUR_MS).toISOString() },
    };
    expect(await limiter.peek({ pool: 'low', count: 10, partial: true })).toMatchObject(expected);
    expect(await limiter.take({ pool: 'low', count: 10, partial: true })).toMatchObject(expected);
  });

  test('finds room although takes by IP went behind the index of the account for hundreds of IPs', async () => {
    await fleet.reset();
    const { limiter } = fleet;
    const all = await fleet.bringMany(400, 'provisioning');
    await Promise.all(all.map(({ id }) => ips.startWarmup(fleet.tenant, id, {})));
    await Promise.all(all.map(({ address }) => limiter.take({ ip: address })));
    expect((await limiter.take({})).allowed).toBe(true);
    // All but the last are used up: the one that is left is found.
    await Promise.all(
      all.slice(0, -1).map(({ address }) => limiter.take({ ip: address, count: 20, partial: true })),
    );
    const last = all.at(-1)!.address;
    expect((await limiter.take({ count: 19, partial: true })).granted).toMatchObject([{ ip: last }]);
    expect(await limiter.take({})).toMatchObject({ allowed: false, retryAfterMs: HOUR_MS });
  });

  test('counts an IP once that is named by its address and by its id', async () => {
    await fleet.reset();
    const ip = await fleet.warming();
    const among = [ip.address, ip.id];
    expect(await fleet.limiter.take({ among, count: 40 })).toMatchObject({ allowed: false });
    expect((await fleet.limiter.take({ among, count: 40, partial: true })).granted).toMatchObject([
      { count: 20 },
    ]);
  });

  test('finds room behind hundreds of IPs whose hour turned together and that others used up since', async () => {
    await fleet.reset();
    const { limiter } = fleet;
    const all = await fleet.bringMany(300, 'provisioning');
    await Promise.all(all.map(({ id }) => ips.startWarmup(fleet.tenant, id, {})));
    const drain = (some: typeof all) =>
      Promise.all(some.map(({ address }) => limiter.take({ ip: address, count: 20, partial: true })));
    await drain(all);
    for (let times = 0; times < 2; times += 1) {
      expect(await limiter.take({})).toMatchObject({ allowed: false, retryAfterMs: HOUR_MS });
    }
    await fleet.advance({ hours: 1, work: false });
    const byAddress = [...all].sort((a, b) => (a.address < b.address ? -1 : 1));
    await drain(byAddress.slice(0, 290));
    expect(await limiter.peek({ count: 50 })).toMatchObject({ allowed: true });
    await drain(byAddress.slice(290));
    expect(await limiter.take({})).toMatchObject({ allowed: false, retryAfterMs: HOUR_MS });
  });
});

describe('what a choice costs', () => {
  /** Commands that Redis ran for one take, those inside of the script too. */
  async function commandsOf(take: () => Promise<unknown>): Promise<number> {
    const calls = async () => {
      const stats = await fleet.redis.info('commandstats');
      return [...stats.matchAll(/^cmdstat_(?!info)[^:]+:calls=(\d+)/gm)].reduce(
        (sum, [, count]) => sum + Number(count),
        0,
      );
    };
    const before = await calls();
    await take();
    return (await calls()) - before;
  }

  test('is about the same among 10 and among 10 000 IPs of an account', async () => {
    await fleet.reset();
    const small = await fleet.house();
    await small.bringMany(10, 'active');
    const large = await fleet.house();
    for (let part = 0; part < 10; part += 1) await large.bringMany(1000, 'active');
    for (const count of [1, 50]) {
      const costs = [];
      for (const { limiter } of [small, large]) {
        await limiter.take({ count });
        const each = [];
        for (let take = 0; take < 20; take += 1) each.push(await commandsOf(() => limiter.take({ count })));
        costs.push(Math.max(...each));
      }
      expect(costs[1]).toBeLessThanOrEqual(costs[0]! + 4);
      expect(costs[1]).toBeLessThan(20);
    }
    // An hour begins for all of them at once; a lease sets no more of them right than it needs.
    await fleet.advance({ hours: 1, work: false });
    const lease = {
      holder: 'one',
      verb: 'take',
      want: 20,
      least: 1,
      waitedMs: 0,
      target: {},
      returns: [],
    } as const;
    expect(await commandsOf(() => large.limiter.lease(lease))).toBeLessThan(1_000);
  });
});
