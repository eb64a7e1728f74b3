/** One process with leases over a real Redis. Other processes, and what kills them, are in `lease-processes.test.ts`. */
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { holdIp, releaseIp, setCeiling } from '../../src/fleet/ips.ts';
import { addIpToPool, createPool, setDefaultPool } from '../../src/fleet/pools.ts';
import { connect } from '../../src/redis/connect.ts';
import { clockKeys } from '../../src/redis/keys.ts';
import { createSender, type Lease, type LeasedIp, type Sender } from '../../src/sender/index.ts';
import type { SendLease } from '../../src/sender/lease.ts';
import { QuotaExhausted } from '../../src/sender/quota-exhausted.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { DAY_MS, HOUR_MS } from '../../src/warmup/units.ts';
import { startCuttingProxy } from '../support/cutting-proxy.ts';
import { bookOf, type Fleet, type House, MONDAY, startFleet, table } from '../support/fleet.ts';
import { eventually } from '../support/processes.ts';

/** So long what is held may be spent after a change. */
const VALID_MS = 1_000;
/** 10 000 sends a second flow in, and never more than 1 000 lie there. */
const DRIPPING = { plan: 'roomy+dripping', burst: 1_000 };
const book = bookOf(
  table('roomy', 'daily', [1_000_000_000]),
  table('dripping', 'hourly', [36_000_000]),
  table('hundred', 'hourly', [100]),
);

const counter = async ({ limiter }: House, { address, id }: DedicatedIp) =>
  (await limiter.look(address, id)).counter!;
const usedToday = async (house: House, ip: DedicatedIp) => (await counter(house, ip)).state.dayUsed;

/** What `take` resolves with when there is something, and `null` when waiting is of no use. */
const orNothing = (taken: Promise<LeasedIp>) =>
  taken.catch((error: unknown) => {
    if (error instanceof QuotaExhausted) return null;
    throw error;
  });

/** Takes until there is nothing more. */
async function spendAll(lease: Lease): Promise<number> {
  let sends = 0;
  while (await orNothing(lease.take(1, { timeoutMs: 5_000 }))) sends += 1;
  return sends;
}

/** Takes as fast as it can, and lets the event loop turn now and then. */
async function spendFor(ms: number, leases: readonly Lease[], onTake = (_: Lease) => {}): Promise<void> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    for (const lease of leases) {
      for (let count = 0; count < 64; count += 1) if (lease.tryTake()) onTake(lease);
    }
    await turn();
  }
}

const heldOf = ({ stats: { granted, returned, spent } }: Lease) => granted - returned - spent;
const sumOf = (leases: readonly Lease[], what: 'roundTrips' | 'granted') =>
  leases.reduce((sum, { stats }) => sum + stats[what], 0);

describe('on a test clock', () => {
  let fleet: Fleet;
  let sender: Sender;
  beforeAll(async () => {
    fleet = await startFleet({ book });
    sender = await fleet.sender();
  });
  afterAll(() => fleet.stop());

  /** 50 sends on its day, and no hours. */
  const onDayOne = () => fleet.warming({ plan: 'fourteen-day' });

  test('all of the quota is used, one by one near its end', async () => {
    const ip = await onDayOne();
    const lease = sender.lease({ ip: ip.address });
    for (let sends = 1; sends <= 50; sends += 1) {
      expect(await lease.take()).toMatchObject({ ip: ip.address, ipId: ip.id });
      if (sends >= 48) expect(heldOf(lease)).toBeLessThanOrEqual(1);
    }
    await expect(lease.take(1, { timeoutMs: 1_000 })).rejects.toThrow(QuotaExhausted);
    expect(lease.because).toBe('day');
    expect(lease.retryAfterMs).toBeGreaterThan(0);
    await lease.close();
    expect(lease.stats).toMatchObject({ granted: 50, returned: 0, spent: 50 });
    expect(await usedToday(fleet, ip)).toBe(50);
  });

  test('where there is much it takes thousands with one round trip, and what Redis counted is what was spent', async () => {
    const ip = await fleet.bring({ status: 'active' });
    const lease = sender.lease({ ip: ip.id, clock: 'turn' });
    let taken = 0;
    await spendFor(300, [lease], () => {
      taken += 1;
    });
    const { granted, roundTrips } = lease.stats;
    expect(granted / roundTrips).toBeGreaterThan(100);
    await lease.close();
    expect(lease.stats.spent).toBe(taken);
    expect(await usedToday(fleet, ip)).toBe(taken);
  });

  test('a clock of the turn that found everything at its end is read anew in the next turn', async () => {
    const ip = await fleet.bring({ status: 'active' });
    const lease = sender.lease({ ip: ip.id, clock: 'turn' });
    const blockForASecond = () => {
      const endMs = performance.now() + 1_050;
      while (performance.now() < endMs);
    };
    await lease.take();
    await turn();
    blockForASecond();
    const { granted } = lease.stats;
    expect(lease.tryTake()).toBeNull();
    await eventually('it has some again', () => lease.stats.granted > granted);
    blockForASecond();
    expect(lease.tryTake()).toBeNull();
    await lease.close();
    expect(await usedToday(fleet, ip)).toBe(1);
  });

  test('after a pause it begins small again', async () => {
    const ip = await fleet.bring({ status: 'active' });
    const lease = sender.lease({ ip: ip.address });
    await spendFor(100, [lease]);
    await eventually('all that was held is back', () => lease.stats.returned > 0 && heldOf(lease) === 0);
    const { granted } = lease.stats;
    await lease.take();
    expect(lease.stats.granted - granted).toBeLessThanOrEqual(8);
    await lease.close();
  });

  test('what is not used goes back when it is closed, and by itself after a second', async () => {
    for (const isClosed of [true, false]) {
      const ip = await onDayOne();
      const lease = sender.lease({ ip: ip.address });
      await lease.take();
      expect(await usedToday(fleet, ip)).toBeGreaterThan(1);
      if (isClosed) await lease.close();
      await eventually('the rest is back', async () => (await usedToday(fleet, ip)) === 1, 5_000);
      expect(lease.stats.spent).toBe(1);
      await lease.close();
      expect(await usedToday(fleet, ip)).toBe(1);
    }
  });

  test('after the edge of the hour it goes back to the day, and after that of the day to nothing', async () => {
    const ip = await fleet.warming({ plan: 'roomy+dripping' });
    const lease = sender.lease({ ip: ip.address });
    await lease.take();
    const taken = await usedToday(fleet, ip);
    // Nobody says that the clock moves: as an hour that ends while the rest is on its way back.
    await fleet.setClock(MONDAY + HOUR_MS);
    await lease.close();
    expect((await counter(fleet, ip)).state).toMatchObject({ dayUsed: 1, hourUsed: 0 });
    const { sent } = await fleet.limiter.look(ip.address, ip.id);
    expect(sent.hours).toEqual([{ fromMs: MONDAY, sends: taken }]);

    const next = sender.lease({ ip: ip.address });
    await next.take();
    const atTheEnd = await usedToday(fleet, ip);
    expect(atTheEnd).toBeGreaterThan(2);
    await fleet.setClock(MONDAY + DAY_MS);
    await next.close();
    const after = await fleet.limiter.look(ip.address, ip.id);
    expect(await fleet.limiter.take({ ip: ip.address })).toMatchObject({ allowed: true });
    expect(await usedToday(fleet, ip)).toBe(1);
    expect((await fleet.limiter.look(ip.address, ip.id)).sent.days).toEqual([
      { fromMs: MONDAY, sends: atTheEnd },
    ]);
    expect(after.counter!.state.seq).toBeGreaterThan(0);
    await fleet.setClock(MONDAY);
  });

  test('what comes back twice is credited once, at its end and late', async () => {
    const ip = await onDayOne();
    const call = {
      holder: 'by hand',
      want: 10,
      least: 1,
      waitedMs: 0,
      target: { ip: ip.address },
    };
    const first = (await fleet.limiter.lease({ ...call, verb: 'take', returns: [] }))!.verdict!.parts[0]!;
    const second = (await fleet.limiter.lease({ ...call, verb: 'take', returns: [] }))!.verdict!.parts[0]!;
    const both = first.sends + second.sends;
    const giveBack = async (seq: number, sends: number, part = second) => {
      await fleet.limiter.lease({ ...call, verb: 'join', returns: [{ ...part, seq, sends }] });
      return both - (await usedToday(fleet, ip));
    };
    expect(await giveBack(second.seq, 3)).toBe(3);
    expect(await giveBack(second.seq, 3)).toBe(3);
    // An older one comes too late, unless it says so.
    expect(await giveBack(first.seq, 2)).toBe(3);
    expect(await giveBack(-first.seq, 1)).toBe(4);
    expect(await giveBack(-first.seq, 1)).toBe(4);
    expect(await giveBack(-first.seq, 2)).toBe(5);
    expect(await giveBack(second.seq + 1, 5)).toBe(5);
  });

  test('what a caller gives back is there again, before and after its second is over, and after the lease is closed', async () => {
    const ip = await onDayOne();
    const lease = sender.lease({ ip: ip.address });
    const taken = await lease.take();
    lease.giveBack(taken);
    expect(() => lease.giveBack(taken)).toThrow('0 sends of this IP are out');
    expect(lease.stats.spent).toBe(0);

    const sends = [taken, await lease.take(), await lease.take(), await lease.take()].slice(1);
    await eventually('their second is over', async () => heldOf(lease) === 0, 5_000);
    expect(await usedToday(fleet, ip)).toBe(3);
    for (const one of sends.slice(0, 2)) lease.giveBack(one);
    await eventually('two are back', async () => (await usedToday(fleet, ip)) === 1);
    expect(lease.stats.spent).toBe(1);
    await lease.close();
    lease.giveBack(sends[2]!);
    await eventually('all are back', async () => (await usedToday(fleet, ip)) === 0);
    expect(lease.stats).toMatchObject({ spent: 0 });
    expect(() => lease.giveBack(sends[2]!)).toThrow('out');
    expect(() => lease.giveBack({ ip: '', ipId: '', hostname: null, bind: null })).toThrow('not granted');
  });

  test('what a caller gives back while the lease is being closed goes back, too', async () => {
    const ip = await fleet.bring({ status: 'active' });
    const lease = sender.lease({ ip: ip.id });
    const granted = await lease.take(2);
    (lease as SendLease).endNow();
    lease.giveBack(granted);
    const closing = lease.close();
    // Its last call is on its way.
    await turn();
    lease.giveBack(granted);
    await closing;
    expect(lease.stats.spent).toBe(0);
    expect(await usedToday(fleet, ip)).toBe(0);
  });

  test('those who wait are served in the order of asking', async () => {
    const ip = await fleet.bring({ status: 'active' });
    const lease = sender.lease({ ip: ip.address });
    const order: number[] = [];
    const counts = [40, 1, 200, 2, 1];
    await Promise.all(counts.map((count, index) => lease.take(count).then(() => order.push(index))));
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(lease.stats.spent).toBe(244);
    await lease.close();
    expect(await usedToday(fleet, ip)).toBe(244);
  });

  test('a take that waits ends when its time is over, it is called off, the lease is closed, or nothing will come', async () => {
    const ip = await onDayOne();
    const lease = sender.lease({ ip: ip.address });
    expect(await spendAll(lease)).toBe(50);
    const late = lease.take(1, { timeoutMs: 2_000 });
    await expect(late).rejects.toMatchObject({ code: 'quota_exhausted', because: { code: 'day' } });

    const calledOff = new AbortController();
    const waiting = lease.take(1, { signal: calledOff.signal });
    const behind = lease.take();
    calledOff.abort(new Error('called off'));
    await expect(waiting).rejects.toThrow('called off');
    await expect(lease.take(1, { signal: calledOff.signal })).rejects.toThrow('called off');
    const closed = expect(behind).rejects.toThrow('closed while this take waited');
    await lease.close();
    await closed;
    await expect(lease.take()).rejects.toThrow('the lease is closed');
    expect(() => lease.tryTake()).toThrow('the lease is closed');
    await lease.close();
  });

  test('on hold everybody who waits hears at once that it is of no use', async () => {
    const ip = await onDayOne();
    await holdIp(fleet.tenant, ip.id, { sending: true, advance: false, because: 'stop', untilMs: null });
    const lease = sender.lease({ ip: ip.address });
    const startMs = performance.now();
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => lease.take(1 + (index % 3))),
    );
    for (const one of all) {
      expect(one).toMatchObject({
        status: 'rejected',
        reason: { retryAfterMs: null, because: { code: 'hold' } },
      });
    }
    expect(performance.now() - startMs).toBeLessThan(VALID_MS);
    await lease.close();
  });

  test('so many at once come from one IP, or not at all', async () => {
    const pool = (await createPool(fleet.tenant, { name: 'pair' })).name;
    const pair = [await onDayOne(), await onDayOne()];
    for (const ip of pair) {
      await addIpToPool(fleet.tenant, pool, ip.id);
      await fleet.limiter.take({ ip: ip.address, count: 42 });
    }
    const lease = sender.lease({ pool });
    // 16 are left of both, 8 of each.
    await expect(lease.take(9, { timeoutMs: 1_000 })).rejects.toThrow(QuotaExhausted);
    // Tomorrow it is 100 of each.
    await expect(lease.take(101)).rejects.toMatchObject({ retryAfterMs: null, because: { code: 'count' } });
    expect(lease.tryTake(9)).toBeNull();
    const two = [(await lease.take(8)).ip, (await lease.take(7)).ip];
    expect(two.sort()).toEqual(pair.map(({ address }) => address).sort());
    expect(await spendAll(lease)).toBe(1);
    await lease.close();
    expect(lease.stats).toMatchObject({ spent: 16, granted: 16 + lease.stats.returned });

    const single = await onDayOne();
    const other = sender.lease({ ip: single.address });
    expect(other.tryTake(30)).toBeNull();
    await eventually('30 at once', () => other.tryTake(30) !== null);
    await other.close();
    expect(await usedToday(fleet, single)).toBe(30);
  });

  test('of a pool the warming IPs come first, and the rest overflows', async () => {
    const pool = (await createPool(fleet.tenant, { name: 'mixed' })).name;
    const warming = await fleet.warming();
    const active = await fleet.bring({ status: 'active' });
    for (const { id } of [warming, active]) await addIpToPool(fleet.tenant, pool, id);
    const lease = sender.lease({ pool });
    const sends = new Map<string, number>();
    for (let take = 0; take < 120; take += 1) {
      const { ip } = await lease.take();
      sends.set(ip, (sends.get(ip) ?? 0) + 1);
    }
    await lease.close();
    expect(Object.fromEntries(sends)).toEqual({ [warming.address]: 20, [active.address]: 100 });
    expect(await usedToday(fleet, warming)).toBe(20);
    expect(await usedToday(fleet, active)).toBe(100);
  });

  test('of two families it takes from the one that was named', async () => {
    const pool = (await createPool(fleet.tenant, { name: 'families' })).name;
    const [four, six] = [await fleet.warming({}, 4), await fleet.warming({}, 6)];
    for (const { id } of [four, six]) await addIpToPool(fleet.tenant, pool, id);
    const lease = sender.lease({ pool, family: 6 });
    for (let take = 0; take < 20; take += 1) expect((await lease.take()).ip).toBe(six.address);
    await expect(lease.take(1, { timeoutMs: 100 })).rejects.toThrow(QuotaExhausted);
    await lease.close();
    expect(await usedToday(fleet, four)).toBe(0);
  });

  test('without a name it follows the default pool to another one', async () => {
    const house = await fleet.house();
    const own = await createSender({
      redisUrl: fleet.server.url,
      account: house.tenant.account.id,
      testClock: true,
    });
    const [one, two] = [await house.bring({ status: 'active' }), await house.bring({ status: 'active' })];
    await createPool(house.tenant, { name: 'one', isDefault: true });
    await createPool(house.tenant, { name: 'two' });
    await addIpToPool(house.tenant, 'one', one.id);
    await addIpToPool(house.tenant, 'two', two.id);
    const lease = own.lease();
    expect((await lease.take()).ip).toBe(one.address);
    await setDefaultPool(house.tenant, 'two', true);
    await eventually('the other pool', async () => (await lease.take()).ip === two.address, 3_000);
    await lease.close();
    await own.close();
  });

  test('who asks for what there is not is told so', async () => {
    const wrong = [{ pool: 'nowhere' }, { ip: '192.0.2.99' }, { ip: 'ip_unknown' }];
    for (const target of wrong) {
      const lease = sender.lease(target);
      await expect(lease.take()).rejects.toMatchObject({ code: 'not_found' });
      await eventually(`tryTake says so too: ${JSON.stringify(target)}`, () => {
        try {
          expect(lease.tryTake()).toBeNull();
          return false;
        } catch (error) {
          return (error as { code?: string }).code === 'not_found';
        }
      });
      await lease.close();
    }
    const provisioning = await fleet.bring();
    const lease = sender.lease({ ip: provisioning.address });
    await expect(lease.take()).rejects.toMatchObject({ retryAfterMs: null, because: { code: 'status' } });
    expect(() => lease.tryTake(0)).toThrow('count is 0');
    expect(() => lease.tryTake(1.5)).toThrow('count is 1.5');
    await expect(lease.take(-1)).rejects.toThrow('count is -1');
    await lease.close();
    expect(() => sender.lease({ ip: '10.0.0.1', pool: 'both' })).toThrow('not both');
    expect(() => sender.lease({ size: 0 })).toThrow('size is 0');
    expect(() => sender.lease({ clock: 'never' as 'call' })).toThrow('clock is "never"');
  });

  test('before the clock moves, what is held goes back to its hour and its day, and is spent no more', async () => {
    const ip = await fleet.warming({ plan: 'roomy+hundred' });
    const lease = sender.lease({ ip: ip.address });
    const idle = sender.lease({ ip: ip.address });
    const startMs = await fleet.now();
    await lease.take();
    expect(heldOf(lease)).toBeGreaterThan(0);
    await fleet.advance({ hours: 1 });
    expect(heldOf(lease)).toBe(0);
    const afterAnHour = await fleet.limiter.look(ip.address, ip.id);
    expect(afterAnHour.counter!.state.dayUsed).toBe(1);
    await lease.take();
    const waiting = lease.take(100);
    await fleet.advance({ days: 1, hours: -1 });
    expect((await waiting).ip).toBe(ip.address);
    await lease.close();
    await idle.close();
    const { sent, counter: after } = await fleet.limiter.look(ip.address, ip.id);
    expect(sent.days).toEqual([{ fromMs: startMs, sends: 2 }]);
    expect(sent.hours.slice(0, 2)).toEqual([
      { fromMs: startMs, sends: 1 },
      { fromMs: startMs + HOUR_MS, sends: 1 },
    ]);
    expect(after!.state.dayUsed).toBe(100);
  });

  test('a sender that does not answer holds up the clock for a second, and not longer', async () => {
    const mute = await connect(fleet.server.url);
    await mute.subscribe(clockKeys.moves);
    const startMs = performance.now();
    await fleet.advance({ ms: 1, work: false });
    const tookMs = performance.now() - startMs;
    mute.disconnect();
    expect(tookMs).toBeGreaterThanOrEqual(VALID_MS);
  });

  test('who died keeps its share for three seconds, and is forgotten after an hour', async () => {
    const ip = await onDayOne();
    const { leases, returned } = fleet.tenant.keys;
    const call = { want: 50, least: 1, waitedMs: 0, target: { ip: ip.address }, returns: [] };
    const take = async () =>
      (await fleet.limiter.lease({ ...call, holder: 'alive', verb: 'take' }))!.verdict!.granted;
    await fleet.limiter.lease({ ...call, holder: 'dead', verb: 'join' });
    // Half of its half of 50; then half of all that is left.
    expect(await take()).toBe(12);
    await fleet.setClock((await fleet.now()) + 3_001);
    expect(await take()).toBe(19);
    expect((await fleet.redis.hkeys(leases(ip.address))).sort()).toEqual(['*', 'alive', 'dead']);
    await fleet.setClock((await fleet.now()) + HOUR_MS);
    await take();
    expect((await fleet.redis.hkeys(leases(ip.address))).sort()).toEqual(['*', 'alive']);
    await fleet.limiter.lease({ ...call, holder: 'alive', verb: 'end' });
    expect(await fleet.redis.exists(leases(ip.address))).toBe(0);

    // What was given back is remembered for the day.
    const { parts } = (await fleet.limiter.lease({ ...call, holder: 'short', verb: 'take' }))!.verdict!;
    await fleet.limiter.lease({ ...call, holder: 'short', verb: 'end', returns: parts });
    expect(await fleet.redis.hlen(returned(ip.id))).toBe(1);
    await fleet.setClock((await fleet.now()) + DAY_MS);
    await fleet.limiter.take({ ip: ip.address });
    expect(await fleet.redis.exists(returned(ip.id))).toBe(0);
  });

  test('who died before the clock stepped back keeps no share until then', async () => {
    const ip = await onDayOne();
    const call = { want: 50, least: 1, waitedMs: 0, target: { ip: ip.address }, returns: [] };
    const take = async () =>
      (await fleet.limiter.lease({ ...call, holder: 'alive', verb: 'take' }))!.verdict!.granted;
    await fleet.limiter.lease({ ...call, holder: 'dead', verb: 'join' });
    await fleet.setClock((await fleet.now()) - 10 * 60_000);
    // Half of 50, as for one that is alone.
    expect(await take()).toBe(25);
  });

  test('a clock that steps back gives nothing twice, and waits for nothing that is over', async () => {
    const ip = await fleet.warming();
    const lease = sender.lease({ ip: ip.address });
    const startMs = await fleet.now();
    expect(await spendAll(lease)).toBe(20);
    await fleet.setClock(startMs - 2 * HOUR_MS);
    expect(await orNothing(lease.take(1, { timeoutMs: 1_000 }))).toBeNull();
    await fleet.setClock(startMs + HOUR_MS);
    await eventually('one of the next hour', () => lease.tryTake() !== null);
    await lease.close();
    expect(await usedToday(fleet, ip)).toBe(21);
  });
});

describe('on the real clock', () => {
  let fleet: Fleet;
  let sender: Sender;
  beforeAll(async () => {
    fleet = await startFleet({ clock: 'real', book });
    sender = await fleet.sender();
  });
  afterAll(() => fleet.stop());

  test('a hold, a release and a lowered ceiling end a lease within a second', async () => {
    const ips = await fleet.bringMany(3, 'active');
    const leases = ips.map(({ address }) => sender.lease({ ip: address }));
    const lastMs = new Map<Lease, number>();
    const note = (lease: Lease) => lastMs.set(lease, performance.now());
    await spendFor(200, leases, note);
    expect(lastMs.size).toBe(3);
    const [held, released, lowered] = ips as [DedicatedIp, DedicatedIp, DedicatedIp];
    let changedMs = 0;
    const changed = Promise.all([
      holdIp(fleet.tenant, held.id, { sending: true, advance: false, because: 'stop', untilMs: null }),
      releaseIp(fleet.tenant, released.id),
      setCeiling(fleet.tenant, lowered.id, { perHour: 1 }),
    ]).then(() => {
      changedMs = performance.now();
    });
    await Promise.all([changed, spendFor(VALID_MS + 500, leases, note)]);
    for (const ms of lastMs.values()) {
      expect(changedMs).toBeGreaterThan(0);
      expect(ms - changedMs).toBeLessThanOrEqual(VALID_MS);
    }
    expect(leases.map(({ because }) => because)).toEqual(['hold', 'status', 'ceiling']);
    await Promise.all(leases.map((lease) => lease.close()));
  });

  test.each([
    ['one lease', 1],
    ['four leases', 4],
  ])('%s at a dry bucket bring 100 sends with each round trip, and all that flows in', async (_, count) => {
    const ip = await fleet.warming(DRIPPING);
    const senders = await Promise.all(Array.from({ length: count }, () => fleet.sender()));
    const leases = senders.map((one) => one.lease({ ip: ip.address, size: 1_000 }));
    await spendFor(500, leases);
    const before = { roundTrips: sumOf(leases, 'roundTrips'), granted: sumOf(leases, 'granted') };
    const startMs = performance.now();
    await spendFor(1_500, leases);
    const granted = sumOf(leases, 'granted') - before.granted;
    const tookMs = performance.now() - startMs;
    expect(granted / (sumOf(leases, 'roundTrips') - before.roundTrips)).toBeGreaterThanOrEqual(100);
    // 10 a millisecond; on a busy machine some of it may flow over.
    expect(granted).toBeGreaterThan(5 * tookMs);
    expect(granted).toBeLessThanOrEqual(10 * tookMs + 1_000);
    await Promise.all(leases.map((lease) => lease.close()));
    expect(await usedToday(fleet, ip)).toBe(leases.reduce((sum, { stats }) => sum + stats.spent, 0));
  });

  test('where nothing is left it asks once a second', async () => {
    const ip = await fleet.warming({ plan: 'fourteen-day' });
    const leases = Array.from({ length: 4 }, () => sender.lease({ ip: ip.address }));
    let sends = 0;
    await eventually('all 50 are used', async () => {
      await spendFor(20, leases, () => {
        sends += 1;
      });
      return sends === 50;
    });
    const before = leases.map(({ stats }) => stats.roundTrips);
    await spendFor(2_000, leases, () => {
      sends += 1;
    });
    for (const [index, lease] of leases.entries()) {
      expect(lease.stats.roundTrips - before[index]!).toBeLessThanOrEqual(4);
    }
    expect(sends).toBe(50);
    await Promise.all(leases.map((lease) => lease.close()));
    expect(await usedToday(fleet, ip)).toBe(50);
  });

  test('while Redis is out of reach it denies; then it heals by itself, and what was on its way back is not lost', async () => {
    const proxy = await startCuttingProxy(fleet.server.port);
    const ip = await fleet.warming({ plan: 'fourteen-day' });
    const cut = await fleet.sender({ url: proxy.url });
    const lease = cut.lease({ ip: ip.address });
    await lease.take();
    const held = heldOf(lease);
    expect(held).toBeGreaterThan(0);
    // The call that gives back what nobody spent.
    proxy.loseNextAnswer();
    await eventually('the answer is lost', () => lease.because === 'unreachable', 5_000);
    expect(await usedToday(fleet, ip)).toBe(1);
    await eventually('it is back, and credited once', () => heldOf(lease) === 0, 5_000);
    expect(await usedToday(fleet, ip)).toBe(1);

    // A take of which nobody knows whether it was granted counts as spent.
    proxy.loseNextAnswer();
    expect(lease.tryTake()).toBeNull();
    await eventually('the answer is lost', () => lease.because === 'unreachable', 5_000);
    expect(lease.tryTake()).toBeNull();
    const lost = (await usedToday(fleet, ip)) - 1;
    expect(lost).toBeGreaterThan(0);
    await lease.take();
    await lease.close();
    expect(await usedToday(fleet, ip)).toBe(2 + lost);
    proxy.stop();
  });

  test('while Redis is out of reach it goes on with an IP without limits, if it may, and only with that', async () => {
    const own = await startFleet({ clock: 'real' });
    const [active, held] = await own.bringMany(2, 'active');
    const warming = await own.warming();
    const free = await createSender({ redisUrl: own.server.url, whenUnreachable: 'allow-active' });
    const leases = [active!, held!, warming].map(({ address }) => free.lease({ ip: address }));
    const [goesOn, ...denied] = leases as [Lease, Lease, Lease];
    for (const lease of leases) await lease.take();
    await holdIp(own.tenant, held!.id, { sending: true, advance: false, because: 'stop', untilMs: null });
    await eventually('the hold is known', async () => {
      denied[0]!.tryTake();
      return denied[0]!.because === 'hold';
    });
    await own.server.kill9();
    let sends = 0;
    await eventually('they know, and what was held is over', async () => {
      await spendFor(50, leases, (lease) => {
        if (lease === goesOn) sends += 1;
      });
      return (
        leases.every(({ because }) => because === 'unreachable') && denied.every((one) => !one.tryTake())
      );
    });
    const before = sends;
    for (let wait = 0; wait < 5; wait += 1) {
      const ip = await goesOn.take(3);
      expect(ip).toMatchObject({ ip: active!.address, ipId: active!.id });
      // Uncounted: nothing goes back.
      goesOn.giveBack(ip, 3);
    }
    for (const lease of denied) expect(lease.tryTake()).toBeNull();
    expect(before).toBeGreaterThan(0);
    await free.close();
    await own.stop();
  });
});
