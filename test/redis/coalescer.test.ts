/**
 * Takes that share a call are answered as if each had come alone: the same random groups of takes go once together and once
 * one after another through two equal fleets, and every receipt, every reason and every record is equal.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as ips from '../../src/fleet/ips.ts';
import * as pools from '../../src/fleet/pools.ts';
import type { TakeAnswer } from '../../src/redis/answer.ts';
import { createCoalescer } from '../../src/redis/coalescer.ts';
import { NO_DEMAND } from '../../src/redis/demand.ts';
import { unpackHot } from '../../src/redis/hot-record.ts';
import { createLimiter, type TakeRequest } from '../../src/redis/limiter.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { drawn } from '../support/drawn.ts';
import { bookOf, type Fleet, startFleet, table } from '../support/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    book: bookOf(table('few', 'daily', [9, 20, 40]), table('by-hour', 'hourly', [3, 5, 8, 13])),
  });
  // Redis knows the scripts from now on: one that has to be sent again arrives behind those that were asked after it.
  const { address } = await fleet.bring({ status: 'active' });
  await Promise.all([
    fleet.limiter.take({ ip: address }),
    fleet.limiter.take({ ip: address }),
    fleet.limiter.take({}),
  ]);
  await fleet.limiter.take({});
  await fleet.limiter.take({ ip: address });
});
afterAll(() => fleet.stop());

const ip = fc.record({
  status: fc.constantFrom('warming', 'warming', 'warming', 'active', 'provisioning'),
  plan: fc.constantFrom('few', 'by-hour', 'few+by-hour'),
  burst: fc.option(fc.integer({ min: 1, max: 4 }), { nil: null }),
  perHour: fc.option(fc.integer({ min: 1, max: 30 }), { nil: null }),
  pools: fc.subarray([0, 1, 2]),
  family: fc.constantFrom(4, 4, 4, 6),
});
const pool = fc.record({
  warmingShare: fc.constantFrom(1, 1, 1, 0.5),
  perHour: fc.option(fc.integer({ min: 1, max: 12 }), { nil: null, freq: 4 }),
});
const take = fc.record({
  from: fc.oneof(
    fc.record({ address: fc.nat() }),
    fc.record({ id: fc.nat() }),
    fc.record({ pool: fc.nat({ max: 2 }) }),
    fc.constant({ any: true }),
    fc.constant({ nowhere: true }),
  ),
  count: fc.constantFrom(1, 1, 1, 1, 2, 3, 7),
  partial: fc.constantFrom(false, false, false, true),
});
const group = fc.record({
  laterMs: fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 30 * MINUTE_MS }),
    fc.integer({ min: 1, max: 30 * HOUR_MS }),
  ),
  takes: fc.array(take, { minLength: 1, maxLength: 40 }),
  /** So many times the same, as from one sender in a loop. */
  times: fc.constantFrom(1, 1, 3, 9),
});
const life = fc.record({
  ips: fc.array(ip, { minLength: 1, maxLength: 4 }),
  pools: fc.tuple(pool, pool, pool),
  groups: fc.array(group, { minLength: 1, maxLength: 6 }),
});
type Life = typeof life extends fc.Arbitrary<infer T> ? T : never;
type Take = typeof take extends fc.Arbitrary<infer T> ? T : never;

/** An equal fleet each time: addresses and names come again, ids do not. */
async function build({ ips: drawn, pools: drawnPools }: Life): Promise<DedicatedIp[]> {
  await fleet.reset();
  for (const [index, { warmingShare, perHour }] of drawnPools.entries()) {
    const ceiling = { perDay: null, perHour };
    await pools.createPool(fleet.tenant, { name: `pool-${index}`, warmingShare, ceiling });
  }
  const made: DedicatedIp[] = [];
  for (const one of drawn) {
    const { status, family, plan, burst, perHour } = one;
    const fresh = await fleet.bring({
      status: status === 'active' ? 'active' : 'provisioning',
      family: family as 4 | 6,
    });
    if (status === 'warming') await ips.startWarmup(fleet.tenant, fresh.id, { plan, burst });
    if (perHour !== null) await ips.updateIp(fleet.tenant, fresh.id, { ceiling: { perDay: null, perHour } });
    for (const each of one.pools) await pools.addIpToPool(fleet.tenant, `pool-${each}`, fresh.id);
    made.push(fresh);
  }
  return made;
}

const requestOf = ({ from, count, partial }: Take, fresh: DedicatedIp[]): TakeRequest => {
  const more = { count, ...(partial ? { partial } : {}) };
  if ('address' in from) return { ip: fresh[from.address % fresh.length]!.address, ...more };
  if ('id' in from) return { ip: fresh[from.id % fresh.length]!.id, ...more };
  if ('pool' in from) return { pool: `pool-${from.pool}`, ...more };
  return 'any' in from ? more : { pool: 'nowhere', ...more };
};

type Line = { kind: 'alone' | 'address' | 'id' | 'pool'; hot: string | null; takes: number[] };

/** Takes in the order in which Redis sees them: parts of a pool alone and at once, then the lines of the first call, then the others. */
function linesOf(requests: readonly TakeRequest[], fresh: readonly DedicatedIp[]): Line[] {
  const lines = new Map<string, Line>();
  for (const [index, { ip: named, pool: name = '', count, partial }] of requests.entries()) {
    const kind =
      named === undefined ? (partial ? 'alone' : 'pool') : named.startsWith('ip_') ? 'id' : 'address';
    const key = kind === 'alone' ? `alone ${index}` : named === undefined ? `${count} ${name}` : named;
    const hot = fresh.find(({ id, address }) => id === named || address === named)?.address ?? null;
    const line = lines.get(key) ?? { kind, hot, takes: [] };
    line.takes.push(index);
    lines.set(key, line);
  }
  const all = [...lines.values()];
  const of = (kind: Line['kind']) => all.filter((line) => line.kind === kind);
  // An IPv6 address is looked at with more care, and so queues up behind the others.
  const careful = ({ kind, hot }: Line) => kind === 'address' && hot!.includes(':');
  const ofIps = all.filter(({ kind }) => kind === 'address' || kind === 'id');
  const [first, second]: Line[][] = [[], []];
  const used = new Set<string>();
  for (const line of [...ofIps.filter((line) => !careful(line)), ...ofIps.filter(careful)]) {
    (used.has(line.hot!) ? second! : first!).push(line);
    used.add(line.hot!);
  }
  return [...of('alone'), ...first!, ...of('pool'), ...second!];
}

const NOTHING: TakeAnswer = {
  allowed: false,
  granted: [],
  limit: 0,
  remaining: 0,
  retryAfterMs: null,
  resetAfterMs: 0,
  because: null,
};
type Outcome = TakeAnswer | { error: string };
const settled = (taken: Promise<TakeAnswer>): Promise<Outcome> =>
  taken.catch((error: Error) => ({ error: error.message }));

/** Without what differs between two fleets (ids), and what is not told to each of many (when a bucket is full again). */
function comparable(outcome: Outcome, fresh: readonly DedicatedIp[]): string {
  let text = JSON.stringify({ ...outcome, resetAfterMs: 0 });
  for (const [index, { id }] of fresh.entries()) text = text.replaceAll(id, `ip-${index}`);
  return text;
}

const statesOf = async (fresh: readonly DedicatedIp[]) =>
  Promise.all(
    fresh.map(
      async ({ address }) => unpackHot((await fleet.redis.getBuffer(fleet.tenant.keys.hot(address)))!).state,
    ),
  );

test('takes that share a call get what they would have got one by one', async () => {
  let [shared, denied, granted] = [0, 0, 0];
  await fc.assert(
    fc.asyncProperty(life, async (drawn) => {
      const told: string[][] = [];
      const states: unknown[] = [];
      for (const together of [true, false]) {
        const fresh = await build(drawn);
        const limiter = createLimiter(fleet.engine.scripts, fleet.tenant.account, { coalesce: together });
        // Ids are known, as after the first take; otherwise the order would be a matter of luck.
        for (const { id } of fresh) await limiter.peek({ ip: id });
        const answers: string[] = [];
        for (const { laterMs, takes, times } of drawn.groups) {
          await fleet.advance({ ms: laterMs });
          const requests = Array.from({ length: times }, () => takes)
            .flat()
            .map((one) => requestOf(one, fresh));
          const lines = linesOf(requests, fresh);
          let outcomes: Outcome[] = [];
          if (together)
            outcomes = await Promise.all(requests.map((request) => settled(limiter.take(request))));
          else {
            for (const index of lines.flatMap((line) => line.takes)) {
              outcomes[index] = await settled(limiter.take(requests[index]!));
            }
          }
          for (const line of lines) {
            const texts = line.takes.map((index) => comparable(outcomes[index]!, fresh));
            // Callers of a pool that asked for the same are as good as each other.
            answers.push(...(line.kind === 'pool' ? texts.sort() : texts));
          }
          shared += together && requests.length > 1 ? requests.length : 0;
          for (const outcome of outcomes) {
            if ('error' in outcome) continue;
            if (outcome.allowed) granted += 1;
            else denied += 1;
          }
        }
        told.push(answers);
        states.push(await statesOf(fresh));
      }
      expect(told[0]).toEqual(told[1]);
      expect(states[0]).toEqual(states[1]);
    }),
    drawn(50),
  );
  // The lives are worth something: takes that shared, grants and denials in numbers.
  expect([shared, denied, granted].every((count) => count > 500)).toBe(true);
}, 120_000);

test('takes that share a call are spread as evenly over more IPs than one look sees', async () => {
  await fleet.reset();
  const all = (await fleet.bringMany(200, 'active')).map(({ address }) => address).sort();
  const answers = await Promise.all(Array.from({ length: 512 }, () => fleet.limiter.take({})));
  const sends = new Map(all.map((address) => [address, 0]));
  for (const { granted } of answers) {
    expect(granted).toHaveLength(1);
    sends.set(granted[0]!.ip, sends.get(granted[0]!.ip)! + 1);
  }
  // 512 = 2 x 200 + 112: two for each, and a third for the first of them in the order of their addresses.
  expect(all.map((address) => sends.get(address))).toEqual(all.map((_, place) => (place < 112 ? 3 : 2)));
  const receipts = new Set(answers.map(({ granted }) => granted[0]!.receipt));
  expect(receipts.size).toBe(512);
});

test('an IP is never twice in one call, also when more have been named than are remembered', async () => {
  const { keys } = fleet.tenant;
  const calls: string[][] = [];
  const scripts = {
    ...fleet.engine.scripts,
    async runPacked(name: string, args: readonly (string | number)[], keyCount = 1) {
      if (name === 'take-ip') return null;
      calls.push(args.slice(1, keyCount).map(String));
      // Of each: nothing is published.
      const reply = Buffer.alloc((keyCount - 1) * 12);
      for (let at = (keyCount - 1) * 4; at < reply.length; at += 8) reply.writeDoubleLE(-1, at);
      return reply;
    },
  };
  const coalescer = createCoalescer<TakeRequest>(scripts, keys, {
    unknown: () => NOTHING,
    recover: (_, error) => {
      throw error;
    },
    demand: NO_DEMAND,
    coalesce: true,
  });
  const take = (address: string, id?: string) =>
    new Promise<unknown>((resolve, reject) => {
      coalescer.takeFromIp(address, id, 1, {}, resolve, reject);
    });
  // All but one of those that are remembered.
  for (let third = 0; third < 100; third += 1) {
    const length = third === 0 ? 999 : 1_000;
    await Promise.all(Array.from({ length }, (_, n) => take(`10.${third}.${n >> 8}.${n & 255}`)));
  }
  calls.length = 0;
  // Known by its id alone, then one too many, then by its address.
  await Promise.all([take('10.200.0.1', 'ip_1'), take('10.200.0.2'), take('10.200.0.1'), take('10.0.0.1')]);
  await Promise.all([take('10.200.0.1', 'ip_1'), take('10.200.0.1'), take('10.0.0.1')]);
  expect(calls.length).toBeGreaterThan(1);
  for (const hotKeys of calls) expect(new Set(hotKeys).size).toBe(hotKeys.length);
});
