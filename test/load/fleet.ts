/**
 * A fleet in the middle of its life: warm-ups that began at any time of the last day and a half, so that in each minute some
 * hour and some day turns, as it is where people have worked for a while.
 */
import { createAccount, DEFAULT_ACCOUNT, ensureDefaultAccount } from '../../src/fleet/accounts.ts';
import { createApiKey } from '../../src/fleet/api-keys.ts';
import { openDatabase } from '../../src/fleet/database.ts';
import { type Engine, nowOf, randomId, type Tenant, tenantOf } from '../../src/fleet/engine.ts';
import { addToInventory } from '../../src/fleet/inventory.ts';
import { createPool } from '../../src/fleet/pools.ts';
import { itemFor } from '../../src/fleet/save.ts';
import { connect } from '../../src/redis/connect.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import { transact } from '../../src/redis/transact.ts';
import { loadSchedules } from '../../src/runtime/schedules.ts';
import { create, startWarmup } from '../../src/warmup/decide.ts';
import { buildPlan, limitsOn, type Plan, planDigest } from '../../src/warmup/plan.ts';
import { MINUTE_MS } from '../../src/warmup/units.ts';
import type { BookedIp } from './books.ts';

/** What takes are asked of. `tight` IPs have the default plan, whose first days are soon used up; the others have room. */
export type Group = 'single' | 'pooled' | 'tight' | 'leased' | 'leased-tight';

export type LoadIp = BookedIp & { address: string; account: string; group: Group };

/** What a process that sends needs to know of an account. */
export type Targets = {
  account: string;
  apiKey: string;
  single: { ipId: string; address: string }[];
  tight: { ipId: string; address: string }[];
  pools: string[];
  /** Pools that leases take from, with an instant at which an hour of each of their IPs begins. */
  leased: string;
  leasedTight: string;
  hourlyFromMs: [ipId: string, atMs: number][];
};

/** Shares of an account's IPs; the rest are `single`. Pools hold at most 100 IPs. */
const SHARES: [Group, number][] = [
  ['pooled', 0.3],
  ['tight', 0.15],
  ['leased', 0.05],
  ['leased-tight', 0.02],
];
const MOST_IN_POOL = 100;
const AT_ONCE = 250;
/** Warm-ups began within this time before now: of a length that no hour or day divides. */
const BEGAN_WITHIN_MS = 36 * 60 * MINUTE_MS;
/** Room that nobody uses up: limits are charged, and never reached. */
const ROOMY = 1_000_000;
const ROOMY_DAYS = 42;
/** Free addresses for those that come and go. */
const INVENTORY = '192.0.2.0/24';

export type Fleet = { ips: LoadIp[]; targets: Targets[] };

export async function layOutFleet(
  redisUrl: string,
  { ipCount, accountCount }: { ipCount: number; accountCount: number },
  step: (done: number) => void = () => {},
): Promise<Fleet> {
  const redis = await connect(redisUrl);
  await openDatabase(redis, null);
  const scripts = createScripts(redis, { testClock: false });
  const book = await loadSchedules();
  const engine: Engine = { scripts, book, cooldownMs: MINUTE_MS, newId: randomId };
  try {
    await ensureDefaultAccount(engine);
    await addToInventory(engine, { addresses: [INVENTORY] });
    const ips: LoadIp[] = [];
    const targets: Targets[] = [];
    for (let number = 0; number < accountCount; number += 1) {
      const name = number === 0 ? DEFAULT_ACCOUNT.name : `load-${number}`;
      const account = number === 0 ? DEFAULT_ACCOUNT : await createAccount(engine, name);
      const tenant = tenantOf(engine, account, 'load');
      const own = await fill(tenant, name, Math.ceil(ipCount / accountCount), ips.length);
      ips.push(...own);
      step(ips.length);
      const { key } = await createApiKey(engine, { account: name });
      targets.push({ ...(await pooled(tenant, own)), account: name, apiKey: key });
    }
    return { ips, targets };
  } finally {
    redis.disconnect();
  }
}

async function fill(tenant: Tenant, account: string, count: number, firstAddress: number): Promise<LoadIp[]> {
  const { engine, keys } = tenant;
  const roomy: Plan = {
    name: 'roomy',
    days: Array.from({ length: ROOMY_DAYS }, () => ({ dailyLimit: ROOMY * 24, hourlyCap: ROOMY })),
  };
  const tight = buildPlan('fourteen-day+sendgrid-hourly', engine.book);
  for (const plan of [roomy, tight])
    await engine.scripts.redis.set(keys.plan(planDigest(plan)), JSON.stringify(plan));
  const nowMs = await nowOf(engine);

  const groups = SHARES.flatMap(([group, share]) => new Array<Group>(Math.ceil(count * share)).fill(group));
  const ips = Array.from({ length: count }, (_, index): LoadIp => {
    const group = groups[index] ?? 'single';
    const plan = group === 'tight' || group === 'leased-tight' ? tight : roomy;
    return {
      ipId: engine.newId('ip'),
      address: addressOf(firstAddress + index),
      account,
      group,
      leased: group === 'leased' || group === 'leased-tight',
      // Spread by the golden ratio: whatever comes next to each other began far from each other.
      startedAtMs: nowMs - Math.floor((((index + 1) * 0.618034) % 1) * BEGAN_WITHIN_MS),
      limitsOn: (warmupDay) => limitsOn(plan, warmupDay),
    };
  });
  for (let at = 0; at < ips.length; at += AT_ONCE) {
    const items = ips.slice(at, at + AT_ONCE).map(({ ipId, address, group, startedAtMs }) => {
      const plan = group === 'tight' || group === 'leased-tight' ? tight : roomy;
      const given = { id: ipId, address, region: null, hostname: null, bind: null, leased: true };
      const made = create({ ...given, status: 'provisioning' }, startedAtMs, 'load');
      const options = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay: 1 };
      const begun = startWarmup(made.ip, plan, options, startedAtMs, 'load');
      return itemFor(
        tenant,
        null,
        { ip: begun.ip, changes: [...made.changes, ...begun.changes] },
        plan,
        nowMs,
      );
    });
    const applied = await transact(engine.scripts, tenant.account, items, { whole: false });
    if (applied.includes(false)) throw new Error('an IP could not be added');
  }
  return ips;
}

async function pooled(tenant: Tenant, ips: readonly LoadIp[]): Promise<Omit<Targets, 'account' | 'apiKey'>> {
  const of = (...groups: Group[]) => ips.filter(({ group }) => groups.includes(group));
  const idsOf = (some: readonly LoadIp[]) => some.map(({ ipId }) => ipId);
  const pools: string[] = [];
  const inPools = of('pooled');
  for (let at = 0; at < inPools.length; at += MOST_IN_POOL) {
    const name = `campaign-${pools.length + 1}`;
    await createPool(tenant, { name, ips: idsOf(inPools.slice(at, at + MOST_IN_POOL)) });
    pools.push(name);
  }
  for (const group of ['leased', 'leased-tight'] as const) {
    await createPool(tenant, { name: group, ips: idsOf(of(group)).slice(0, MOST_IN_POOL) });
  }
  return {
    single: of('single').map(({ ipId, address }) => ({ ipId, address })),
    tight: of('tight').map(({ ipId, address }) => ({ ipId, address })),
    pools,
    leased: 'leased',
    leasedTight: 'leased-tight',
    hourlyFromMs: of('leased', 'leased-tight').map(({ ipId, startedAtMs }) => [ipId, startedAtMs]),
  };
}

const addressOf = (number: number) => `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
