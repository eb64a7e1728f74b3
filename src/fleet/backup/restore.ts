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
import { type Attempt, readMark, takeMark } from './attempt.ts';
import { checkBelonging } from './belonging.ts';
import { AGAIN, type Backup, type LineOf, linesOf } from './format.ts';
import { restorePools } from './pools.ts';
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
  const { head, lines } = backup;
  const tenant = tenantOf(engine, head.account, 'restore');
  const [ips, pools, keys] = [linesOf(lines, 'ip'), linesOf(lines, 'pool'), linesOf(lines, 'key')];
  const [webhooks, changes] = [linesOf(lines, 'webhook'), linesOf(lines, 'change')];

  checkClock(engine, head.clock);
  checkBelonging(backup, 'take another copy; nothing was restored');
  const attempt = await beginAttempt(tenant, backup);
  const steps: [name: string, step: () => Promise<void>][] = [
    ['addresses', () => claim(engine, head.account.id, ips, attempt)],
    ['changes', () => restoreChanges(tenant, attempt, changes)],
    ['plans', () => restorePlans(tenant, linesOf(lines, 'plan'))],
    // Before the IPs: none may come without it.
    ['stop', () => restoreStop(tenant, attempt, linesOf(lines, 'stop'))],
    ['ips', () => restoreIps(tenant, attempt, linesOf(lines, 'plan'), ips, onProgress)],
    ['pools', () => restorePools(tenant, attempt, pools)],
    ['keys', () => restoreKeys(tenant, attempt, keys)],
    ['webhooks', () => restoreWebhooks(tenant, attempt, webhooks)],
  ];
  const at = steps.findIndex(([name]) => name === attempt.before?.done) + 1;
  // A step that is done is not done again: what was changed, deleted or revoked since would be undone.
  for (const [name, step] of steps.slice(at)) {
    await step();
    await attempt.moveTo(name);
  }
  await finish(tenant, attempt, backup);
  return {
    ...{ ips: ips.length, pools: pools.length, keys: keys.length },
    ...{ webhooks: webhooks.length, changes: changes.length },
  };
}

/** Goes on with an attempt that was cut off, or looks whether all can be done and begins. */
async function beginAttempt(tenant: Tenant, backup: Backup): Promise<Attempt> {
  const { engine, keys } = tenant;
  const { head, lines, sha256 } = backup;
  const { account } = head;
  const counter = await engine.scripts.redis.get(keys.account);
  const standing = await readMark(tenant);
  if (standing && standing.sha256 !== sha256) {
    throw conflict(`account ${account.name} is being restored from another file; finish that with it first`);
  }
  if (standing) return takeMark(tenant, account, sha256, standing);
  await checkRoom(tenant, backup);
  await claim(engine, account.id, linesOf(lines, 'ip'), null);
  await restoreAccounts(engine, backup);
  // One that has brought the account back since then has counted on.
  return takeMark(tenant, account, sha256, null, [[keys.account, revOf(counter)]]);
}

function checkClock({ scripts }: Engine, clock: 'real' | 'test'): void {
  const here = scripts.testClock ? 'test' : 'real';
  if (here !== clock)
    throw conflict(
      `the backup is of a database on a ${clock} clock, and this one runs on a ${here} clock; nothing was restored`,
    );
}

/** @param attempt `null`: only looks whether it could be done */
async function claim(
  engine: Engine,
  accountId: string,
  ips: readonly LineOf<'ip'>[],
  attempt: Attempt | null,
): Promise<void> {
  for (let at = 0; at < ips.length; at += MOST_ADDRESSES) {
    const entries = ips.slice(at, at + MOST_ADDRESSES).flatMap(({ id, record, entry }) => {
      const { address } = readStoredIp(id, record);
      return [address, JSON.stringify({ address, ...entry, state: 'held', account: accountId, ipId: id })];
    });
    await attempt?.check();
    const [outcome, address, state, holder] = (await engine.scripts.run('inventory-claim', [
      ...[inventoryKeys.entries, inventoryKeys.free],
      ...[attempt ? 0 : 1, ...entries],
    ])) as string[];
    if (outcome === 'ok') continue;
    const then = attempt ? AGAIN : 'nothing was restored';
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
async function restoreStop(
  tenant: Tenant,
  attempt: Attempt,
  [line]: readonly LineOf<'stop'>[],
): Promise<void> {
  if (!line) return;
  const { engine, account, keys } = tenant;
  const item: Item = {
    check: [attempt.stillOurs(), [keys.accountHold, 0]],
    run: [['SET', keys.accountHold, line.record]],
    publish: [],
  };
  const [applied] = await transact(engine.scripts, account, [item], { whole: true });
  if (applied) return;
  await attempt.check();
  const { hold } = Stop.parse(JSON.parse(line.record));
  await changeStop(tenant, (before, nowMs) => (before && isHeld(before, nowMs) ? before : hold));
}

async function restoreIps(
  tenant: Tenant,
  attempt: Attempt,
  plans: readonly LineOf<'plan'>[],
  ips: readonly LineOf<'ip'>[],
  onProgress: (ips: number) => void,
): Promise<void> {
  const plansByDigest = new Map(plans.map(({ digest, plan }) => [digest, plan]));
  for (let at = 0; at < ips.length; at += BATCH) {
    await restoreSome(tenant, attempt, plansByDigest, ips.slice(at, at + BATCH));
    onProgress(Math.min(ips.length, at + BATCH));
  }
}

async function restoreSome(
  tenant: Tenant,
  attempt: Attempt,
  plans: ReadonlyMap<string, Plan>,
  ips: readonly LineOf<'ip'>[],
): Promise<void> {
  const { engine, account, keys } = tenant;
  const { redis } = engine.scripts;
  await retryWhenContended(async () => {
    await attempt.check();
    const [nowMs, stop] = await Promise.all([nowIn(tenant), readStop(tenant)]);
    const there = await redis.mget(ips.map(({ id }) => keys.ip(id)));
    const missing = ips.filter((_, index) => there[index] === null);
    if (missing.length === 0) return true;
    const items = missing.map((line) => broughtBack(tenant, line, plans, stop, nowMs));
    items[0]!.check.push(attempt.stillOurs(), stillUnder(tenant, stop));
    // What was sent comes first: an IP that is there is complete. What another attempt has brought back may have grown since.
    for (const { id, sent } of missing) {
      const fields = Object.entries(sent);
      await Promise.all(
        fields.map(([field, value]) => redis.hsetnx(keys.sent(id), field, Buffer.from(value, 'base64'))),
      );
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

async function restoreKeys(
  { engine, account }: Tenant,
  attempt: Attempt,
  keys: readonly LineOf<'key'>[],
): Promise<void> {
  for (const { hash, record } of keys) {
    await attempt.check();
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
async function restoreWebhooks(
  tenant: Tenant,
  attempt: Attempt,
  webhooks: readonly LineOf<'webhook'>[],
): Promise<void> {
  const { engine, keys, account } = tenant;
  const { redis } = engine.scripts;
  if (webhooks.length === 0) return;
  const after = await lastChange(tenant);
  // One that is there since an attempt before goes on where it is.
  for (const { webhook } of webhooks) {
    await attempt.check();
    await redis.hsetnx(keys.webhooks, webhook.id, JSON.stringify({ ...webhook, after }));
  }
  await redis.sadd(webhookKeys.accounts, account.id);
}

async function finish(tenant: Tenant, attempt: Attempt, { head }: Backup): Promise<void> {
  const { engine, keys, account } = tenant;
  const because = 'brought back from a backup; the running day of every IP counts as used up';
  const taken = new Date(head.takenAtMs).toISOString();
  await retryWhenContended(async () => {
    await attempt.check();
    const [nowMs, counter] = await Promise.all([nowIn(tenant), engine.scripts.redis.get(keys.account)]);
    const run = [
      ['SET', keys.account, JSON.stringify({ rev: revOf(counter) + 1 })],
      recordChange(tenant, nowMs, { what: 'account', from: taken, to: 'restored', because, by: 'restore' }),
      ['DEL', keys.restoring],
    ];
    const item: Item = { check: [attempt.stillOurs(), [keys.account, revOf(counter)]], run, publish: [] };
    const [applied] = await transact(engine.scripts, account, [item], { whole: true });
    return applied ? true : null;
  });
}
