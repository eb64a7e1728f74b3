/**
 * The sweep: finds what is due on engine time, advances it, publishes its quota. The sorted set of due work is the truth;
 * nothing else has to remember anything, so what is lost is still due and what is done twice changes nothing. It knows no
 * queue: the worker gives it a schedule, a simulation drives it by hand.
 */
import { type Item, transact } from '../redis/transact.ts';
import { advance, type Change } from '../warmup/decide.ts';
import { type DedicatedIp, RECORD_VERSION } from '../warmup/dedicated-ip.ts';
import { eachAccount } from './accounts.ts';
import { keepPlan, parseIps, planOf, v3Plan } from './change.ts';
import { type Engine, nowIn, nowOf, type Tenant, tenantOf } from './engine.ts';
import { sweepAllocations, sweepReturns } from './inventory.ts';
import { itemFor, republish } from './save.ts';

export type TickResult = {
  /** IPs that were looked at and saved. */
  published: number;
  /** Status changes and ended holds, for the log. */
  changes: (Change & { ip: string; address: string })[];
  /** IPs that somebody else changed first; they are still due. */
  contended: number;
  /** IPs (allocations, accounts) whose record cannot be read or decided on; they stay due and hold up nobody else. */
  failed: { ip: string; error: unknown }[];
  /** Work is left for another tick. */
  more: boolean;
};

const nothing = (): TickResult => ({ published: 0, changes: [], contended: 0, failed: [], more: false });

function add(total: TickResult, result: TickResult): void {
  total.published += result.published;
  total.contended += result.contended;
  total.changes.push(...result.changes);
  total.failed.push(...result.failed);
}

/** One script call saves this many IPs: about 5 ms of Redis, which no sender notices. */
const BATCH = 50;
/** So many ids are read at a time. */
const PAGE = 1000;
/** An account with more due work than this leaves the rest to the next round, so that no account starves another. */
const PAGES_PER_ROUND = 5;

export type TickOptions = {
  /** Stop between two batches, for a worker that is told to end. */
  signal?: AbortSignal;
  /** Only IPs whose id falls into this share, so that several processes can divide a large sweep. */
  shard?: { index: number; of: number };
  onBatch?: (done: number) => void;
};

/** One round over all accounts. */
export async function tick(engine: Engine, options: TickOptions = {}): Promise<TickResult> {
  const total = nothing();
  const { index } = options.shard ?? { index: 0 };
  if (index === 0)
    await sweepAllocations(engine, undefined, (id, error) => total.failed.push({ ip: id, error }));
  const damaged = (id: string, error: unknown) => {
    if (index === 0) total.failed.push({ ip: id, error });
  };
  for await (const account of eachAccount(engine, damaged)) {
    if (options.signal?.aborted) return { ...total, more: true };
    const tenant = tenantOf(engine, account, 'engine');
    try {
      const result = await tickAccount(tenant, options);
      if (index === 0) await sweepReturns(tenant, (id, error) => total.failed.push({ ip: id, error }));
      add(total, result);
      total.more ||= result.more;
    } catch (error) {
      // In a cluster the Redis of one account may be away while those of the others are there.
      if (!engine.scripts.isCluster && !isOfTheAccount(error)) throw error;
      damaged(account.id, error);
    }
  }
  return total;
}

/** What is kept of the account has a form that a script or a command cannot work on; a Redis that is full says so otherwise. */
const isOfTheAccount = (error: unknown) =>
  error instanceof Error && /^(WRONGTYPE|ERR .*user_script)/s.test(error.message);

async function tickAccount(tenant: Tenant, options: TickOptions): Promise<TickResult> {
  const total = nothing();
  const { redis } = tenant.engine.scripts;
  let [offset, worked] = [0, 0];
  const shares = options.shard?.of ?? 1;
  const divided = shares > 1;
  // Of a page that all read a share gets its part: so many times as many, and it has as much to do with each as without.
  const page = PAGE * shares;
  // A share has to see everything that is due to find its own. Pages that only failed cost no other account its turn.
  while (divided || worked < PAGES_PER_ROUND) {
    const nowMs = await nowIn(tenant);
    const due = await redis.zrangebyscore(tenant.keys.due, '-inf', nowMs, 'LIMIT', offset, page);
    const mine = due.filter((id) => inShard(id, options.shard));
    let published = 0;
    for await (const result of advanceAll(tenant, mine, nowMs, options.signal)) {
      add(total, result);
      published += result.published;
      options.onBatch?.(total.published);
    }
    if (options.signal?.aborted) return { ...total, more: true };
    if (published > 0) worked += 1;
    // While others take theirs out, ours move up: a share is done when a whole pass found nothing.
    if (due.length < page) return { ...total, more: divided && total.published > 0 };
    // What others do, or what was contended, stays in the set: step over it.
    offset += due.length - published;
  }
  return { ...total, more: true };
}

/** FNV-1a: the same IP falls to the same share in every process. */
function inShard(id: string, shard: TickOptions['shard']): boolean {
  if (!shard || shard.of === 1) return true;
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193) >>> 0;
  return hash % shard.of === shard.index;
}

/**
 * Batch by batch. While Redis saves one, the next is decided on: its records are asked for before the save, since one
 * connection answers in order. Whoever changes a record in between makes that save of it fail, as always.
 */
async function* advanceAll(
  tenant: Tenant,
  ids: readonly string[],
  nowMs: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<TickResult> {
  const read = (at: number) => readBatch(tenant, ids.slice(at, at + BATCH));
  let saving: Promise<TickResult> | null = null;
  try {
    let reading = ids.length > 0 ? read(0) : null;
    for (let at = 0; reading && !signal?.aborted; at += BATCH) {
      const batch: Batch = await reading;
      reading = at + BATCH < ids.length ? read(at + BATCH) : null;
      // It is awaited below unless the save before it fails; then nobody asks how the read ended.
      reading?.catch(() => {});
      const decided = await decideBatch(tenant, batch, nowMs);
      if (saving) yield await saving;
      saving = saveBatch(tenant, decided);
    }
    if (saving) yield await saving;
  } finally {
    await saving?.catch(() => {});
  }
}

type Batch = { ids: readonly string[]; ips: (DedicatedIp | Error | null)[] };

async function readBatch(tenant: Tenant, ids: readonly string[]): Promise<Batch> {
  const records = await tenant.engine.scripts.redis.mget(ids.map(tenant.keys.ip));
  return { ids, ips: await parseIps(tenant, ids, records) };
}

type Decided = {
  items: { before: DedicatedIp; changes: Change[]; item: Item }[];
  failed: TickResult['failed'];
};

async function decideBatch(tenant: Tenant, { ids, ips }: Batch, nowMs: number): Promise<Decided> {
  const { engine } = tenant;
  const decided: Decided = { items: [], failed: [] };
  for (const [index, before] of ips.entries()) {
    const id = ids[index]!;
    try {
      if (before instanceof Error) throw before;
      if (!before) throw new Error(`${id} is due but has no record`);
      // Another worker was faster; nothing is ever due again.
      if (before.status === 'released') continue;
      const ofItself = before.autoWarmup && before.status === 'provisioning' ? v3Plan(engine) : null;
      const decision = advance(before, nowMs, ofItself);
      const begins = ofItself && decision.ip.status === 'warming' ? keepPlan(tenant, ofItself) : null;
      const plan = begins?.plan ?? (await planOf(tenant, decision.ip));
      // On most days nothing changes but the day: the record stays, and the next windows are published.
      const isSame = decision.ip === before && before.version === RECORD_VERSION;
      const item = isSame
        ? republish(tenant, before, plan, nowMs)
        : itemFor(tenant, before, decision, plan, nowMs);
      item.run.push(...(begins?.run ?? []));
      decided.items.push({ before, changes: decision.changes, item });
    } catch (error) {
      decided.failed.push({ ip: id, error });
    }
  }
  return decided;
}

async function saveBatch({ engine, account }: Tenant, { items, failed }: Decided): Promise<TickResult> {
  const result: TickResult = { ...nothing(), failed };
  const all = items.map(({ item }) => item);
  const applied = await transact(engine.scripts, account, all, { whole: false });
  items.forEach(({ before, changes }, index) => {
    if (!applied[index]) {
      result.contended += 1;
      return;
    }
    result.published += 1;
    for (const change of changes) result.changes.push({ ...change, ip: before.id, address: before.address });
  });
  return result;
}

/** Ticks until nothing is due any more. */
export async function tickUntilDone(engine: Engine, options: TickOptions = {}): Promise<TickResult> {
  const total = nothing();
  for (;;) {
    const result = await tick(engine, options);
    add(total, result);
    if (options.signal?.aborted) return { ...total, more: true };
    if (!result.more && result.contended === 0) return total;
  }
}

/** How many IPs are due now, over all accounts whose Redis answers. */
export async function countDue(engine: Engine): Promise<number> {
  const { isCluster } = engine.scripts;
  const nowMs = await nowOf(engine);
  let due = 0;
  for await (const account of eachAccount(engine)) {
    const tenant = tenantOf(engine, account, 'engine');
    due += isCluster ? await countIn(tenant).catch(() => 0) : await countIn(tenant, nowMs);
  }
  return due;
}

const countIn = async (tenant: Tenant, nowMs?: number) =>
  tenant.engine.scripts.redis.zcount(tenant.keys.due, '-inf', nowMs ?? (await nowIn(tenant)));

/**
 * Makes every IP due that has anything to come. After the clock was set back, what is due lies where the wrong time put it;
 * the next tick finds what is right, and counts of a later day become a day that is used up.
 */
export async function lookAtAllAgain(engine: Engine): Promise<void> {
  const { redis } = engine.scripts;
  for await (const account of eachAccount(engine)) {
    const tenant = tenantOf(engine, account, 'engine');
    const { due } = tenant.keys;
    const nowMs = await nowIn(tenant);
    for (;;) {
      const later = await redis.zrangebyscore(due, `(${nowMs}`, '+inf', 'LIMIT', 0, PAGE);
      if (later.length === 0) break;
      await redis.zadd(due, ...later.flatMap((id) => [nowMs, id]));
    }
  }
}
