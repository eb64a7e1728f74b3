/**
 * Brings an account back from a backup, into an installation that does not have it. Nobody knows what was sent since the
 * backup was taken, so of every IP the running day counts as used up: it sends again with its next one. First it is looked
 * whether all of it can be done. An attempt that ended in the middle goes on when it is called again with the same file:
 * what it had brought back, and what was changed since, stays as it is.
 */
import { directoryKeys, inventoryKeys, webhookKeys } from '../../redis/keys.ts';
import { type Item, transact } from '../../redis/transact.ts';
import { stopWithAccount } from '../../warmup/decide.ts';
import { RECORD_VERSION } from '../../warmup/dedicated-ip.ts';
import { conflict } from '../../warmup/errors.ts';
import { withChanges } from '../../warmup/history.ts';
import type { Plan } from '../../warmup/plan.ts';
import { isHeld } from '../../warmup/progress.ts';
import { readStoredIp, storedIp } from '../../warmup/stored-ip.ts';
import { changeStop, readStop, Stop, stillUnder } from '../account-hold.ts';
import { MOST_KEYS_PER_ACCOUNT } from '../api-keys.ts';
import { retryWhenContended } from '../change.ts';
import { type Engine, nowIn, type Tenant, tenantOf } from '../engine.ts';
import { revOf } from '../pools.ts';
import { itemFor, recordChange } from '../save.ts';
import { lastChange } from '../webhooks.ts';
import { checkBelonging } from './belonging.ts';
import { type Backup, type LineOf, linesOf } from './format.ts';
import { AGAIN, restorePools } from './pools.ts';
import { checkRoom } from './room.ts';
import { restoreChanges } from './stream.ts';

export type Restored = { ips: number; pools: number; keys: number; webhooks: number; changes: number };

/** One script call saves so many, as the worker does: about 5 ms of Redis. */
const BATCH = 50;
const MOST_ADDRESSES = 500;

export async function restoreBackup(
  engine: Engine,
  backup: Backup,
  onProgress: (ips: number) => void = () => {},
): Promise<Restored> {
  const { head, lines, sha256 } = backup;
  const { redis } = engine.scripts;
  const tenant = tenantOf(engine, head.account, 'restore');
  const { restoring } = tenant.keys;
  const [ips, pools, keys] = [linesOf(lines, 'ip'), linesOf(lines, 'pool'), linesOf(lines, 'key')];
  const [webhooks, changes] = [linesOf(lines, 'webhook'), linesOf(lines, 'change')];

  const steps: [name: string, step: () => Promise<void>][] = [
    ['addresses', () => claim(engine, head.account.id, ips, { lookOnly: false })],
    ['changes', () => restoreChanges(tenant, changes)],
    ['plans', () => restorePlans(tenant, linesOf(lines, 'plan'))],
    // Before the IPs: none may come without it.
    ['stop', () => restoreStop(tenant, linesOf(lines, 'stop'))],
    ['ips', () => restoreIps(tenant, linesOf(lines, 'plan'), ips, onProgress)],
    ['pools', () => restorePools(tenant, pools)],
    ['keys', () => restoreKeys(tenant, keys)],
    ['webhooks', () => restoreWebhooks(tenant, webhooks)],
  ];

  checkClock(engine, head.clock);
  checkBelonging(backup, 'take another copy; nothing was restored');
  const [begunWith, done] = (await redis.get(restoring))?.split(' ') ?? [];
  if (begunWith !== undefined && begunWith !== sha256) {
    throw conflict(
      `account ${head.account.name} is being restored from another file; finish that with it first`,
    );
  }
  const at = steps.findIndex(([name]) => name === done) + 1;
  if (begunWith === undefined) {
    await checkRoom(tenant, backup);
    await claim(engine, head.account.id, ips, { lookOnly: true });
    await restoreAccounts(engine, backup);
    await redis.set(restoring, sha256);
  }
  // A step that is done is not done again: what was changed, deleted or revoked since would be undone.
  for (const [name, step] of steps.slice(at)) {
    await step();
    await redis.set(restoring, `${sha256} ${name}`);
  }
  await finish(tenant, backup);
  return {
    ...{ ips: ips.length, pools: pools.length, keys: keys.length },
    ...{ webhooks: webhooks.length, changes: changes.length },
  };
}

function checkClock({ scripts }: Engine, clock: 'real' | 'test'): void {
  const here = scripts.testClock ? 'test' : 'real';
  if (here !== clock)
    throw conflict(
      `the backup is of a database on a ${clock} clock, and this one runs on a ${here} clock; nothing was restored`,
    );
}

async function claim(
  engine: Engine,
  accountId: string,
  ips: readonly LineOf<'ip'>[],
  { lookOnly }: { lookOnly: boolean },
): Promise<void> {
  for (let at = 0; at < ips.length; at += MOST_ADDRESSES) {
    const entries = ips.slice(at, at + MOST_ADDRESSES).flatMap(({ id, record, entry }) => {
      const { address } = readStoredIp(id, record);
      return [address, JSON.stringify({ address, ...entry, state: 'held', account: accountId, ipId: id })];
    });
    const [outcome, address, state, holder] = (await engine.scripts.run('inventory-claim', [
      ...[inventoryKeys.entries, inventoryKeys.free],
      ...[lookOnly ? 1 : 0, ...entries],
    ])) as string[];
    if (outcome === 'ok') continue;
    const then = lookOnly ? 'nothing was restored' : AGAIN;
    throw conflict(`${address} is ${state} by ${holder || 'another'} here; release it there first; ${then}`);
  }
}

async function restoreAccounts(engine: Engine, { head, lines }: Backup): Promise<void> {
  const accounts = [head.account, ...linesOf(lines, 'subuser').map(({ account }) => account)];
  const numbers = [...accounts, ...linesOf(lines, 'pool').map(({ pool }) => pool)].map(
    ({ number }) => number,
  );
  const highest = Math.max(...numbers);
  const [outcome, what, holder] = (await engine.scripts.run('account-restore', [
    ...[directoryKeys.names, directoryKeys.accounts, directoryKeys.numbers, directoryKeys.accountOrder],
    highest,
    ...accounts.flatMap((account) => [account.id, account.name, account.number, JSON.stringify(account)]),
  ])) as string[];
  if (outcome === 'ok') return;
  const said = {
    name: `the name ${what} belongs to another account here`,
    number: `the account number ${what} belongs to ${holder} here`,
    id: `${what} is an account of another name here`,
  };
  throw conflict(
    `${said[outcome as keyof typeof said]}; restore into an empty installation; nothing was restored`,
  );
}

async function restorePlans({ engine, keys }: Tenant, plans: readonly LineOf<'plan'>[]): Promise<void> {
  for (const { digest, plan } of plans)
    await engine.scripts.redis.set(keys.plan(digest), JSON.stringify(plan));
}

/** A stop that is in force here already was meant for whatever comes: it stays. */
async function restoreStop(tenant: Tenant, [line]: readonly LineOf<'stop'>[]): Promise<void> {
  if (!line) return;
  const { engine, account, keys } = tenant;
  const item: Item = {
    check: [[keys.accountHold, 0]],
    run: [['SET', keys.accountHold, line.record]],
    publish: [],
  };
  const [applied] = await transact(engine.scripts, account, [item], { whole: true });
  if (applied) return;
  const { hold } = Stop.parse(JSON.parse(line.record));
  await changeStop(tenant, (before, nowMs) => (before && isHeld(before, nowMs) ? before : hold));
}

async function restoreIps(
  tenant: Tenant,
  plans: readonly LineOf<'plan'>[],
  ips: readonly LineOf<'ip'>[],
  onProgress: (ips: number) => void,
): Promise<void> {
  const plansByDigest = new Map(plans.map(({ digest, plan }) => [digest, plan]));
  for (let at = 0; at < ips.length; at += BATCH) {
    await restoreSome(tenant, plansByDigest, ips.slice(at, at + BATCH));
    onProgress(Math.min(ips.length, at + BATCH));
  }
}

async function restoreSome(
  tenant: Tenant,
  plans: ReadonlyMap<string, Plan>,
  ips: readonly LineOf<'ip'>[],
): Promise<void> {
  const { engine, account, keys } = tenant;
  const { redis } = engine.scripts;
  await retryWhenContended(async () => {
    const [nowMs, stop] = await Promise.all([nowIn(tenant), readStop(tenant)]);
    const there = await redis.mget(ips.map(({ id }) => keys.ip(id)));
    const missing = ips.filter((_, index) => there[index] === null);
    if (missing.length === 0) return true;
    const items = missing.map((line) => broughtBack(tenant, line, plans, stop, nowMs));
    items[0]!.check.push(stillUnder(tenant, stop));
    // What was sent comes first: an IP that is there is complete.
    for (const { id, sent } of missing) {
      const fields = Object.entries(sent).flatMap(([field, value]) => [field, Buffer.from(value, 'base64')]);
      if (fields.length > 0) await redis.hset(keys.sent(id), ...fields);
    }
    const applied = await transact(engine.scripts, account, items, { whole: true });
    return applied.every(Boolean) ? true : null;
  });
}

/** The IP as it was, to the letter, unless the account is under a stop that it does not know; its pools list their IPs themselves. */
function broughtBack(
  tenant: Tenant,
  { id, record }: LineOf<'ip'>,
  plans: ReadonlyMap<string, Plan>,
  stop: Stop,
  nowMs: number,
): Item {
  const { keys } = tenant;
  const ip = readStoredIp(id, record);
  // It is in the file: that was looked at first.
  const plan = ip.warmup ? plans.get(ip.warmup.digest)! : null;
  const decision = stopWithAccount(ip, stop.hold, nowMs);
  const item = itemFor(tenant, null, decision, plan, nowMs);
  item.run = item.run.filter(
    ([, key]) => key !== keys.ip(id) && !ip.pools.some((pool) => key === keys.poolIps(pool)),
  );
  const isSame = decision.ip === ip;
  const history = withChanges(decision.ip, nowMs, decision.changes);
  const kept = isSame ? ip : { ...decision.ip, rev: ip.rev + 1, updatedAtMs: nowMs, history };
  item.run.push(['SET', keys.ip(id), storedIp({ ...kept, version: RECORD_VERSION })]);
  // It was published before, so without a hot record its running day is used up.
  item.publish = item.publish.map((entry) => ({ ...entry, known: true }));
  return item;
}

async function restoreKeys({ engine, account }: Tenant, keys: readonly LineOf<'key'>[]): Promise<void> {
  for (const { hash, record } of keys) {
    const { place: _, ...rest } = record;
    const [outcome] = (await engine.scripts.run('key-create', [
      ...[directoryKeys.accounts, directoryKeys.apiKeys, directoryKeys.keyHashes, directoryKeys.keyOrder],
      ...[directoryKeys.keysOf(account.id), directoryKeys.keySequence],
      ...[hash, rest.id, JSON.stringify(rest), account.id, MOST_KEYS_PER_ACCOUNT],
    ])) as [string];
    if (outcome === 'full') {
      throw conflict(
        `the account has ${MOST_KEYS_PER_ACCOUNT} API keys by now, which is the most; revoke one, and ${AGAIN}`,
      );
    }
    if (outcome !== 'ok')
      throw conflict(`the API key ${rest.id} could not be brought back: ${outcome}; ${AGAIN}`);
  }
}

/** They are told of what comes after the restore, and of nothing a second time. */
async function restoreWebhooks(tenant: Tenant, webhooks: readonly LineOf<'webhook'>[]): Promise<void> {
  const { engine, keys, account } = tenant;
  const { redis } = engine.scripts;
  if (webhooks.length === 0) return;
  const after = await lastChange(tenant);
  // One that is there since an attempt before goes on where it is.
  for (const { webhook } of webhooks)
    await redis.hsetnx(keys.webhooks, webhook.id, JSON.stringify({ ...webhook, after }));
  await redis.sadd(webhookKeys.accounts, account.id);
}

async function finish(tenant: Tenant, { head }: Backup): Promise<void> {
  const { engine, keys, account } = tenant;
  const because = 'brought back from a backup; the running day of every IP counts as used up';
  const taken = new Date(head.takenAtMs).toISOString();
  await retryWhenContended(async () => {
    const [nowMs, counter] = await Promise.all([nowIn(tenant), engine.scripts.redis.get(keys.account)]);
    const run = [
      ['SET', keys.account, JSON.stringify({ rev: revOf(counter) + 1 })],
      recordChange(tenant, nowMs, { what: 'account', from: taken, to: 'restored', because, by: 'restore' }),
      ['DEL', keys.restoring],
    ];
    const item: Item = { check: [[keys.account, revOf(counter)]], run, publish: [] };
    const [applied] = await transact(engine.scripts, account, [item], { whole: true });
    return applied ? true : null;
  });
}
