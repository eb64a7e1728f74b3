/**
 * The operator's addresses, and their way to an account and back. Inventory and account live in different slots, so an
 * allocation has three steps: the inventory reserves (and writes a journal), the account creates, the inventory closes.
 * Whatever crashes in between, the worker finishes or undoes it, and the address is in exactly one place.
 */
import { z } from 'zod';
import { inventoryKeys as keys } from '../redis/keys.ts';
import { transact } from '../redis/transact.ts';
import { canonicalAddress, expandAddresses } from '../warmup/address.ts';
import { create, joinPool, type NewIp, stopWithAccount } from '../warmup/decide.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';
import { conflict, invalid, WarmlineError } from '../warmup/errors.ts';
import { readStop, stillUnder } from './account-hold.ts';
import { loadIp, retryWhenContended } from './change.ts';
import { type Engine, nowIn, type Tenant, tenantOf } from './engine.ts';
import { MOST_IPS_PER_POOL, Pool } from './pool.ts';
import { itemFor, recordOf } from './save.ts';

const Entry = z.object({
  address: z.string(),
  region: z.string().nullable(),
  hostname: z.string().nullable(),
  bind: z.string().nullable(),
  leased: z.boolean(),
  whitelabeled: z.boolean(),
  state: z.enum(['free', 'reserved', 'held']),
  account: z.string().optional(),
  ipId: z.string().optional(),
});
export type InventoryEntry = z.infer<typeof Entry>;

/** @throws when it cannot be read */
export const readEntry = (raw: string): InventoryEntry => Entry.parse(JSON.parse(raw));

const Journal = z.object({
  account: z.string(),
  parentId: z.string().nullable(),
  by: z.string(),
  status: z.enum(['provisioning', 'active']),
  ips: z.array(z.object({ ipId: z.string(), entry: Entry, place: z.number().optional() })),
});
type Journal = z.infer<typeof Journal>;

export type NewAddresses = {
  /** Addresses and CIDR ranges. */
  addresses: readonly string[];
  region?: string | null | undefined;
  /** What EHLO says; for a single address. */
  hostname?: string | null | undefined;
  /** The local address to bind when it differs (behind a NAT); for a single address. */
  bind?: string | null | undefined;
  whitelabeled?: boolean | undefined;
};

function entriesOf(given: NewAddresses, leased: boolean): InventoryEntry[] {
  if (given.addresses.length === 0)
    throw invalid('addresses', 'no address is named; give at least one address or range');
  if (given.region && /\p{Cs}/u.test(given.region))
    throw invalid('region', 'the region has half a character in it; write it anew');
  const addresses = expandAddresses(given.addresses);
  if (addresses.length > 1 && (given.hostname || given.bind)) {
    throw invalid(
      given.hostname ? 'hostname' : 'bind',
      `${addresses.length} addresses cannot share one ${given.hostname ? 'hostname' : 'bind address'}; add them one by one`,
    );
  }
  return addresses.map((address) => ({
    address,
    region: given.region ?? null,
    hostname: given.hostname ? checkHostname(given.hostname) : null,
    bind: given.bind ? canonicalAddress(given.bind, 'bind') : null,
    leased,
    whitelabeled: given.whitelabeled ?? true,
    state: 'free',
  }));
}

/** RFC 1123 labels; what EHLO says must be a name that resolves, so bare words and underscores are refused. */
export function checkHostname(hostname: string): string {
  const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
  if (hostname.length > 253 || !new RegExp(`^${label}(?:\\.${label})+$`, 'i').test(hostname)) {
    throw invalid('hostname', `"${hostname}" is not a full host name (example: mta7.example.com)`);
  }
  return hostname.toLowerCase();
}

/**
 * Adds addresses for the account holders to take from. All or none.
 * @param skipKnown addresses that are known already are no error (a list that is given at each start)
 * @returns the number added @throws WarmlineError `conflict` when one is known
 */
export async function addToInventory(
  engine: Engine,
  given: NewAddresses,
  { skipKnown = false } = {},
): Promise<number> {
  const entries = entriesOf(given, true);
  const [added, ...known] = (await engine.scripts.run('inventory-add', [
    keys.entries,
    keys.free,
    keys.sequence,
    keys.closed,
    skipKnown ? 1 : 0,
    engine.repeats ? engine.newId('alloc') : '',
    ...entries.flatMap((entry) => [entry.address, JSON.stringify(entry)]),
  ])) as [number, ...string[]];
  if (known.length > 0 && !skipKnown) throw knownAlready(known);
  return Number(added);
}

const knownAlready = (known: string[]) =>
  conflict(
    `${known.slice(0, 3).join(', ')}${known.length > 3 ? ` and ${known.length - 3} more are` : known.length > 1 ? ' are' : ' is'} in the inventory already; nothing was added`,
    { addresses: known },
  );

/** One page of the inventory. `cursor` "0" begins, and comes back as "0" at the end. */
export async function listInventory(
  engine: Engine,
  cursor = '0',
  limit = 1000,
  onDamaged: (address: string, error: unknown) => void = (_, error) => {
    throw error;
  },
) {
  const [next, flat] = await engine.scripts.redis.hscan(keys.entries, cursor, 'COUNT', limit);
  const entries: InventoryEntry[] = [];
  for (let at = 0; at < flat.length; at += 2) {
    try {
      entries.push(readEntry(flat[at + 1]!));
    } catch (error) {
      onDamaged(flat[at]!, error);
    }
  }
  return { entries, cursor: next };
}

/** Takes the address that was free longest and makes it a dedicated IP. @throws WarmlineError `exhausted` */
export async function createIp(tenant: Tenant, afterStep?: AfterStep): Promise<DedicatedIp> {
  const ips = [{ ipId: tenant.engine.newId('ip') }];
  const [ip] = await allocate(tenant, ips, 'provisioning', { afterStep });
  return ip!;
}

export type NewIps = Pick<NewIp, 'autoWarmup' | 'parentAssigned' | 'subusers'> & {
  count: number;
  /** Take only addresses of these regions; `''` are those of none. Unless said: of all. */
  regions?: readonly string[] | undefined;
  /** 4: take only IPv4 addresses, for clients that know no others. */
  family?: 4 | undefined;
};

/** Takes the addresses that were free longest. All or none. @throws WarmlineError `exhausted` */
export async function createIps(
  tenant: Tenant,
  { count, regions, family, ...given }: NewIps,
): Promise<DedicatedIp[]> {
  if (!Number.isInteger(count) || count < 1 || count > MOST_ON_ACCOUNT_AT_ONCE) {
    throw invalid('count', `count is ${count}; it must be from 1 to ${MOST_ON_ACCOUNT_AT_ONCE}`);
  }
  const ips = Array.from({ length: count }, () => ({ ipId: tenant.engine.newId('ip') }));
  return allocate(tenant, ips, 'provisioning', { given, queues: queuesOf(regions, family) });
}

/** The queues to take from; none is the queue of all. */
function queuesOf(regions: readonly string[] | undefined, family: 4 | undefined): string[] {
  if (!regions) return family ? [keys.freeV4] : [];
  return regions.map(family ? keys.freeV4In : keys.freeIn);
}

/** How many addresses are free; with family 4 only IPv4 ones. */
export const countFree = ({ scripts }: Engine, family?: 4): Promise<number> =>
  scripts.redis.zcard(family ? keys.freeV4 : keys.free);

/** Puts addresses that the account brings on it at once. All or none. */
export async function bringIps(
  tenant: Tenant,
  given: NewAddresses & { status: 'provisioning' | 'active'; leased?: boolean },
): Promise<DedicatedIp[]> {
  const entries = entriesOf(given, given.leased ?? false);
  if (entries.length > MOST_ON_ACCOUNT_AT_ONCE) {
    throw invalid(
      'addresses',
      `${entries.length} addresses cannot be put on an account at once; bring at most ${MOST_ON_ACCOUNT_AT_ONCE}`,
    );
  }
  const ips = entries.map((entry) => ({ ipId: tenant.engine.newId('ip'), entry }));
  return allocate(tenant, ips, given.status);
}

/** Each becomes an IP in one script, about 70 microseconds: 256 hold up the senders for 20 ms, a /20 would for 300. */
const MOST_ON_ACCOUNT_AT_ONCE = 256;

/** Called after each step of an allocation, so that a test can end the process there. */
export type AfterStep = (step: 'reserved' | 'created') => Promise<void> | void;

async function allocate(
  tenant: Tenant,
  ips: { ipId: string; entry?: InventoryEntry }[],
  status: Journal['status'],
  {
    given = {},
    queues = [],
    afterStep,
  }: {
    given?: Omit<NewIps, 'count' | 'regions' | 'family'>;
    queues?: readonly string[];
    afterStep?: AfterStep | undefined;
  } = {},
): Promise<DedicatedIp[]> {
  const { engine, account, by } = tenant;
  const allocationId = engine.newId('alloc');
  const once = engine.repeats ?? false;
  const wanted = { account: account.id, parentId: account.parentId, by, status, once, ips };
  const [outcome, ...rest] = (await engine.scripts.run('inventory-reserve', [
    keys.entries,
    keys.free,
    keys.pending,
    keys.journal,
    keys.sequence,
    keys.closed,
    allocationId,
    JSON.stringify(wanted),
    ...queues,
  ])) as [string, ...string[]];
  if (outcome === 'known') throw knownAlready(rest);
  if (outcome === 'exhausted') {
    throw new WarmlineError(
      'exhausted',
      'the inventory has no free address left; add one with "warmline inventory add"',
    );
  }
  const allIps = () => Promise.all(ips.map(({ ipId }) => loadIp(tenant, ipId)));
  // An earlier attempt of the same request came so far; where it was given up, the next id is tried.
  if (outcome === 'confirm') return allIps();
  if (outcome === 'undo') return allocate(tenant, ips, status, { given, queues, afterStep });
  await afterStep?.('reserved');

  const journal = Journal.parse(JSON.parse(rest[0]!));
  const created = await createInAccount(tenant, allocationId, journal, given);
  if (!created) {
    await close(engine, allocationId, 'undo');
    throw new WarmlineError('contended', 'the allocation took so long that it was given up; try again');
  }
  await afterStep?.('created');
  await close(engine, allocationId, 'confirm');
  return allIps();
}

/** @returns false when the worker has given the allocation up in the meantime. */
async function createInAccount(
  tenant: Tenant,
  allocationId: string,
  journal: Journal,
  wishes: Omit<NewIps, 'count' | 'regions' | 'family'>,
): Promise<boolean> {
  const { engine, account, keys: own } = tenant;
  return retryWhenContended(async () => {
    // Its id comes from this very request: an earlier attempt made it, and all that belong to it in the same script.
    if (engine.repeats && (await engine.scripts.redis.exists(own.ip(journal.ips[0]!.ipId))) === 1)
      return true;
    const [nowMs, defaultPool, stop] = await Promise.all([
      nowIn(tenant),
      engine.scripts.redis.get(own.defaultPool),
      readStop(tenant),
    ]);
    const pool = defaultPool ? await loadDefaultPool(tenant, defaultPool) : null;
    let room = pool?.room ?? 0;
    let place = pool?.record.lastPlace ?? 0;
    const items = journal.ips.map(({ ipId, entry }) => {
      const given: NewIp = {
        id: ipId,
        address: entry.address,
        region: entry.region,
        hostname: entry.hostname,
        bind: entry.bind,
        leased: entry.leased,
        whitelabeled: entry.whitelabeled,
        status: journal.status,
        ...wishes,
      };
      let decision = create(given, nowMs, journal.by);
      // IPs without reverse DNS are in no pool.
      if (pool && room > 0 && decision.ip.whitelabeled) {
        room -= 1;
        place = Math.max(nowMs, place + 1);
        const joined = joinPool(decision.ip, pool.record, 'it is the default pool', nowMs, journal.by);
        decision = { ip: joined.ip, changes: [...decision.changes, ...joined.changes] };
      }
      const stopped = stopWithAccount(decision.ip, stop.hold, nowMs);
      decision = { ip: stopped.ip, changes: [...decision.changes, ...stopped.changes] };
      return { ...itemFor(tenant, null, decision, null, nowMs, place), allocation: allocationId };
    });
    // A stop that is placed meanwhile holds them too.
    items[0]!.check.push(stillUnder(tenant, stop));
    // The pool's record is written with a new revision, so that two who fill its last place meet.
    if (pool) {
      const { id, rev } = pool.record;
      const record = { ...pool.record, lastPlace: place };
      items[0]!.check.push([own.pool(id), rev]);
      items[0]!.run.push(['SET', own.pool(id), recordOf(rev + 1, record)]);
    }
    const results = await transact(engine.scripts, account, items, { whole: true });
    if (results.every(Boolean)) return true;
    const late = await engine.scripts.redis.zscore(own.tombstones, allocationId);
    return late === null ? null : false;
  });
}

async function loadDefaultPool({ engine, keys: own }: Tenant, poolId: string) {
  const [raw, count] = await Promise.all([
    engine.scripts.redis.get(own.pool(poolId)),
    engine.scripts.redis.zcard(own.poolIps(poolId)),
  ]);
  if (!raw || count >= MOST_IPS_PER_POOL) return null;
  return { record: Pool.parse(JSON.parse(raw)), room: MOST_IPS_PER_POOL - count };
}

async function close(engine: Engine, allocationId: string, how: 'confirm' | 'undo') {
  await engine.scripts.run('inventory-close', [
    keys.entries,
    keys.free,
    keys.pending,
    keys.journal,
    keys.sequence,
    keys.closed,
    allocationId,
    how,
  ]);
}

/** An allocation takes milliseconds; one that is older than this has lost its process. Real time: it is a time-out. */
const GIVEN_UP_AFTER_MS = 10_000;
/** A tombstone outlives every process that could still come with the allocation that it ends. */
const TOMBSTONE_MS = 7 * 24 * 3_600_000;
const MOST_PER_SWEEP = 100;

/**
 * Finishes or undoes allocations that lost their process: an IP that its account has is confirmed; for the others a
 * tombstone refuses whoever still comes, and the address goes back to the place that it had.
 * @param onFailed is told of one whose journal cannot be read; it stays, and holds up nobody else
 * @returns how many were closed
 */
export async function sweepAllocations(
  engine: Engine,
  givenUpAfterMs = GIVEN_UP_AFTER_MS,
  onFailed: (allocationId: string, error: unknown) => void = () => {},
): Promise<number> {
  const { redis } = engine.scripts;
  const [seconds, micros] = await redis.time();
  const realNowMs = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
  const ids = await redis.zrangebyscore(
    keys.pending,
    '-inf',
    realNowMs - givenUpAfterMs,
    'LIMIT',
    0,
    MOST_PER_SWEEP,
  );
  let closed = 0;
  for (const allocationId of ids) {
    try {
      await closeAbandoned(engine, allocationId, realNowMs);
      closed += 1;
    } catch (error) {
      onFailed(allocationId, error);
    }
  }
  return closed;
}

async function closeAbandoned(engine: Engine, allocationId: string, realNowMs: number): Promise<void> {
  const raw = await engine.scripts.redis.hget(keys.journal, allocationId);
  if (!raw) return close(engine, allocationId, 'undo');
  const journal = Journal.parse(JSON.parse(raw));
  const account = { id: journal.account, parentId: journal.parentId };
  const { keys: own } = tenantOf(engine, account, 'engine');
  const bury = {
    check: journal.ips.map(({ ipId }): [string, number] => [own.ip(ipId), 0]),
    run: [
      ['ZADD', own.tombstones, realNowMs, allocationId],
      ['ZREMRANGEBYSCORE', own.tombstones, '-inf', realNowMs - TOMBSTONE_MS],
    ],
    publish: [],
  };
  const [buried] = await transact(engine.scripts, account, [bury], { whole: true });
  await close(engine, allocationId, buried ? 'undo' : 'confirm');
}

/**
 * Gives addresses whose cooldown is over back to the inventory.
 * @param onFailed is told of one whose entry cannot be read; it stays, and holds up nobody else
 */
export async function sweepReturns(
  tenant: Tenant,
  onFailed: (ipId: string, error: unknown) => void,
): Promise<void> {
  const { redis } = tenant.engine.scripts;
  const [, flat] = await redis.hscan(tenant.keys.returns, '0', 'COUNT', MOST_PER_SWEEP);
  for (let at = 0; at < flat.length; at += 2) {
    const [ipId, address] = flat.slice(at, at + 2) as [string, string];
    try {
      await tenant.engine.scripts.run('inventory-give-back', [
        keys.entries,
        keys.free,
        keys.sequence,
        address,
        ipId,
      ]);
      await redis.hdel(tenant.keys.returns, ipId);
    } catch (error) {
      onFailed(ipId, error);
    }
  }
}
