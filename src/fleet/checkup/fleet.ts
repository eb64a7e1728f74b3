/**
 * Every IP, page by page: is what is derived from its record as the record says? An IP that changes while it is read looks
 * wrong for a moment, so what looks wrong is read again before it is told.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ZodError } from 'zod';
import { inventoryKeys } from '../../redis/keys.ts';
import { sortableAddress } from '../../warmup/address.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import { Plan } from '../../warmup/plan.ts';
import { eachAccount } from '../accounts.ts';
import { isHalfRestored } from '../backup/attempt.ts';
import { parseIps } from '../change.ts';
import { type Engine, nowIn, type Tenant, tenantOf } from '../engine.ts';
import { accountHold } from '../hold-all.ts';
import { type Finding, failure, named, ok, warning } from './finding.ts';
import { entryOf } from './inventory.ts';
import { type IpFacts, judgeIp, type Problems } from './ip.ts';

/** About 15 commands each: a page costs Redis 5 ms. */
const PAGE = 100;
const LOOKS = 3;
const LOOK_AGAIN_MS = 150;

export type FleetFacts = {
  accounts: number;
  ips: number;
  /** Looked at; less than `ips` when only some were asked for. */
  seen: number;
  damagedAccounts: string[];
  /** Accounts whose mail or progress somebody has stopped as a whole, and why. */
  stopped: string[];
  /** Accounts of which a restore has not come to its end. */
  halfRestored: string[];
  unreadable: string[];
  withoutPlan: string[];
  published: string[];
  index: string[];
  inventory: string[];
  /** How long the IP that waits longest has been due. */
  lagMs: number;
  due: number;
};

/** @param most so many IPs of each account are looked at */
export async function readFleet(
  engine: Engine,
  {
    most = Number.POSITIVE_INFINITY,
    onProgress = () => {},
  }: { most?: number; onProgress?: (seen: number) => void } = {},
): Promise<FleetFacts> {
  const facts: FleetFacts = {
    ...{ accounts: 0, ips: 0, seen: 0, lagMs: 0, due: 0 },
    ...{
      damagedAccounts: [],
      stopped: [],
      halfRestored: [],
      unreadable: [],
      withoutPlan: [],
      published: [],
      index: [],
      inventory: [],
    },
  };
  const readPlan = planReader();
  const damaged = (id: string) => void facts.damagedAccounts.push(id);
  for await (const account of eachAccount(engine, damaged)) {
    facts.accounts += 1;
    const tenant = tenantOf(engine, account, 'check');
    await readStopOf(tenant, account.name, facts);
    if (await isHalfRestored(tenant)) facts.halfRestored.push(account.name);
    await readAccount(tenant, readPlan, facts, most, onProgress);
  }
  return facts;
}

async function readStopOf(tenant: Tenant, name: string, facts: FleetFacts): Promise<void> {
  try {
    const stop = await accountHold(tenant);
    if (stop) facts.stopped.push(`${name} (${stop.because}, by ${stop.by})`);
  } catch (error) {
    // Zod and JSON say what is wrong with a record; anything else is no answer, which says nothing about it.
    if (!(error instanceof SyntaxError || error instanceof ZodError)) throw error;
    facts.damagedAccounts.push(`the stop of ${name}`);
  }
}

async function readAccount(
  tenant: Tenant,
  readPlan: PlanReader,
  facts: FleetFacts,
  most: number,
  onProgress: (seen: number) => void,
): Promise<void> {
  const { redis } = tenant.engine.scripts;
  const { keys } = tenant;
  const nowMs = await nowIn(tenant);
  const [[, longest], due, count] = await Promise.all([
    redis.zrangebyscore(keys.due, '-inf', nowMs, 'WITHSCORES', 'LIMIT', 0, 1),
    redis.zcount(keys.due, '-inf', nowMs),
    redis.zcard(keys.ips),
  ]);
  facts.ips += count;
  facts.due += due;
  if (longest !== undefined) facts.lagMs = Math.max(facts.lagMs, nowMs - Number(longest));

  let left = most;
  const seen = new Set<string>();
  for (let cursor = '0'; left > 0; ) {
    const [next, flat] = await redis.zscan(keys.ips, cursor, 'COUNT', PAGE);
    const ids = flat
      .filter((_, index) => index % 2 === 0)
      .filter((id) => !seen.has(id))
      .slice(0, left);
    for (const id of ids) seen.add(id);
    left -= ids.length;
    await lookAt(tenant, readPlan, ids, facts);
    facts.seen += ids.length;
    onProgress(facts.seen);
    cursor = next;
    if (cursor === '0') break;
  }
  if (left > 0) await lookAtLists(tenant, facts);
}

async function lookAt(
  tenant: Tenant,
  readPlan: PlanReader,
  ids: readonly string[],
  facts: FleetFacts,
): Promise<void> {
  let suspects = ids;
  for (let look = 1; suspects.length > 0; look += 1) {
    const found = await Promise.all(
      suspects.map(async (id) => ({ id, ...(await examine(tenant, readPlan, id)) })),
    );
    const wrong = found.filter(({ isWell }) => !isWell);
    if (wrong.length === 0) return;
    if (look === LOOKS) {
      for (const { unreadable, withoutPlan, problems } of wrong) {
        if (unreadable) facts.unreadable.push(unreadable);
        if (withoutPlan) facts.withoutPlan.push(withoutPlan);
        for (const kind of ['published', 'index', 'inventory'] as const) {
          const problem = problems?.[kind];
          if (problem) facts[kind].push(problem);
        }
      }
      return;
    }
    suspects = wrong.map(({ id }) => id);
    await sleep(LOOK_AGAIN_MS);
  }
}

type Examined = { isWell: boolean; unreadable?: string; withoutPlan?: string; problems?: Problems };

/** What cannot be read is found. What is not answered says nothing about the IP, so it is thrown and ends the examination. */
async function examine(tenant: Tenant, readPlan: PlanReader, id: string): Promise<Examined> {
  const { redis } = tenant.engine.scripts;
  const text = await redis.get(tenant.keys.ip(id));
  if (text === null) return { isWell: false, unreadable: `${id} (gone)` };
  const ip = await readIp(tenant, id, text);
  if (ip instanceof Error) return { isWell: false, unreadable: firstLineOf(ip).slice(0, 200) };
  if (ip.status === 'released')
    return { isWell: false, problems: { index: `${ip.address} was released and is still listed` } };

  const { warmup } = ip;
  const rows = warmup && (await redis.get(tenant.keys.plan(warmup.digest)));
  const plan = rows === null ? null : readPlan(rows);
  if (warmup && (plan === null || plan instanceof Error)) {
    const why = plan === null ? '' : `: ${firstLineOf(plan)}`;
    return { isWell: false, withoutPlan: `${ip.address} (plan ${warmup.plan}, ${warmup.digest}${why})` };
  }
  const nowMs = await nowIn(tenant);
  const facts = await factsOf(tenant, ip);
  const problems = judgeIp(ip, plan as Plan | null, facts, tenant.account.id, nowMs);
  return { isWell: Object.keys(problems).length === 0, problems };
}

const firstLineOf = ({ message }: Error) => message.split('\n')[0]!;

async function readIp(tenant: Tenant, id: string, text: string): Promise<DedicatedIp | Error> {
  try {
    return (await parseIps(tenant, [id], [text]))[0]!;
  } catch (error) {
    // Of an older record the history is kept beside it, and is read with it: no JSON, or JSON that is no change.
    if (error instanceof SyntaxError || error instanceof TypeError)
      return new Error(`${id} has a history that cannot be read: ${error.message}`);
    throw error;
  }
}

type PlanReader = (rows: string) => Plan | Error;

/** A fleet uses a handful of plans, so each is parsed once. */
function planReader(): PlanReader {
  const read = new Map<string, Plan | Error>();
  const parsed = (rows: string) => {
    try {
      return Plan.parse(JSON.parse(rows));
    } catch (error) {
      return error as Error;
    }
  };
  return (rows) => {
    const plan = read.get(rows) ?? parsed(rows);
    read.set(rows, plan);
    return plan;
  };
}

async function factsOf({ engine, keys }: Tenant, ip: DedicatedIp): Promise<IpFacts> {
  const { redis } = engine.scripts;
  const member = `${sortableAddress(ip.address)}:${ip.id}`;
  const family = ip.address.includes(':') ? 6 : 4;
  const isIn = async (key: string, what = member) => (await redis.zscore(key, what)) !== null;
  const [hot, quota, holder, entry, due, byAddress, warming, provisioning, turn, pools] = await Promise.all([
    redis.getBuffer(keys.hot(ip.address)),
    redis.hgetall(keys.quota(ip.address)),
    redis.hget(keys.addresses, ip.address),
    redis.hget(inventoryKeys.entries, ip.address),
    redis.zscore(keys.due, ip.id),
    isIn(keys.byAddress),
    isIn(keys.warming),
    isIn(keys.provisioning),
    isIn(keys.turn('all', family), ip.address),
    Promise.all(ip.pools.map((pool) => isIn(keys.poolIps(pool), ip.id))),
  ]);
  return {
    ...{ hot, quota, holder },
    inventory: entry === null ? null : (entryOf(entry) ?? 'damaged'),
    dueMs: due === null ? null : Number(due),
    inLists: { byAddress, warming, provisioning, turn },
    pools: ip.pools.filter((_, index) => pools[index]),
  };
}

/** What stands in a list and is no IP of the account: the lengths tell. */
async function lookAtLists({ engine, keys, account }: Tenant, facts: FleetFacts): Promise<void> {
  const { redis } = engine.scripts;
  for (let look = 1; ; look += 1) {
    const [ips, addresses, turn4, turn6, byAddress] = await Promise.all([
      redis.zcard(keys.ips),
      redis.hlen(keys.addresses),
      redis.zcard(keys.turn('all', 4)),
      redis.zcard(keys.turn('all', 6)),
      redis.zcard(keys.byAddress),
    ]);
    if (ips === addresses && turn4 + turn6 === byAddress) return;
    if (look === LOOKS) {
      facts.index.push(
        `account ${account.id} lists ${ips} IPs, ${addresses} addresses, ${byAddress} by address and ${turn4 + turn6} to choose from`,
      );
      return;
    }
    await sleep(LOOK_AGAIN_MS);
  }
}

/** A worker looks every two seconds; what waits longer than this waits for a worker that is not there or behind. */
const LATE_MS = 30_000;
const VERY_LATE_MS = 10 * 60_000;

const REPUBLISH = 'hold it and resume it, which publishes it anew; if that does not help, restore a backup';

export function judgeFleet(facts: FleetFacts, lag: (ms: number) => string): Finding[] {
  const looked = facts.seen === facts.ips ? `${facts.ips} IPs` : `${facts.seen} of ${facts.ips} IPs`;
  const each = (check: string, wrong: readonly string[], todo: string) =>
    wrong.length === 0 ? ok(check, looked) : failure(check, named(wrong), todo);
  return [
    facts.damagedAccounts.length > 0
      ? failure('accounts', `${named(facts.damagedAccounts)} cannot be read`, 'restore a backup')
      : ok('accounts', String(facts.accounts)),
    facts.stopped.length > 0
      ? warning(
          'stops',
          `stopped: ${named(facts.stopped)}`,
          'warmline resume --all, with a key of the account, once that is over',
        )
      : ok('stops', 'no account is stopped'),
    facts.halfRestored.length > 0
      ? failure(
          'restores',
          `half restored: ${named(facts.halfRestored)}`,
          'call warmline restore again with the same file, unless it still runs',
        )
      : ok('restores', 'none is half done'),
    each(
      'records',
      facts.unreadable,
      'run the newest version everywhere; if it is this one, restore a backup',
    ),
    each('schedules', facts.withoutPlan, 'restore a backup: the rows of its plan are gone or damaged'),
    each('quotas published', facts.published, REPUBLISH),
    each('indexes', facts.index, 'restore a backup, or report it with this line'),
    each('inventory of the IPs', facts.inventory, 'restore a backup, or report it with this line'),
    judgeLag(facts, lag),
  ];
}

function judgeLag({ lagMs, due }: FleetFacts, lag: (ms: number) => string): Finding {
  const found = due === 0 ? 'nothing is due' : `${due} due, the longest for ${lag(lagMs)}`;
  const todo = 'start a worker, or look at the log of those that run: no limit rises and no warm-up ends';
  if (lagMs > VERY_LATE_MS) return failure('due work', found, todo);
  return lagMs > LATE_MS ? warning('due work', found, todo) : ok('due work', found);
}
