/**
 * Does all of a backup belong to its account? The checksum tells that a file is whole, not who wrote it: whoever changes a
 * line can seal it anew. So what a line names outside itself (an account, a scope, an address, the rows of a plan) must be
 * the account's own, and is looked at before anything is written; and when a backup is taken, so that it can come back.
 */
import { canonicalAddress } from '../../warmup/address.ts';
import { checkDayStartsAt, checkZone } from '../../warmup/calendar.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import { invalid } from '../../warmup/errors.ts';
import { planDigest } from '../../warmup/plan.ts';
import { readStoredIp } from '../../warmup/stored-ip.ts';
import { Stop } from '../account-hold.ts';
import { checkAccountName } from '../accounts.ts';
import { checkKeyName, checkScopes, ENVIRONMENT } from '../api-keys.ts';
import { isBefore } from '../changes.ts';
import { type Backup, type LineOf, linesOf, type StoredAccount } from './format.ts';

/**
 * @param todo what to do about it, at the end of the sentence
 * @throws WarmlineError `invalid` (param `file`), naming the first line that is another's or makes no sense
 */
export function checkBelonging(backup: Pick<Backup, 'head' | 'lines'>, todo: string): void {
  try {
    checkLines(backup);
  } catch (error) {
    throw invalid('file', `${(error as Error).message}; ${todo}`);
  }
}

function checkLines({ head: { account }, lines }: Pick<Backup, 'head' | 'lines'>): void {
  const subusers = linesOf(lines, 'subuser').map((line) => line.account);
  checkAccounts(account, subusers);
  for (const { digest, plan } of linesOf(lines, 'plan')) {
    // A process keeps rows by their digest, for all accounts.
    if (planDigest(plan) !== digest)
      throw new Error(`the rows of plan ${plan.name} in the file are not those that ${digest} names`);
  }
  for (const { record } of linesOf(lines, 'stop')) {
    within('the stop of the account', () => Stop.parse(JSON.parse(record)));
  }
  const rows = new Set(linesOf(lines, 'plan').map(({ digest }) => digest));
  checkIps(linesOf(lines, 'ip'), subusers, rows);
  checkPools(linesOf(lines, 'pool'));
  checkKeys(account, linesOf(lines, 'key'));
  const webhooks = linesOf(lines, 'webhook').map(({ webhook }) => webhook.id);
  once('webhook', webhooks);
  checkChanges(linesOf(lines, 'change'));
}

/** With what it is about in front of the sentence. */
function within<T>(what: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    // What is wrong with a record is told on many lines.
    throw new Error(`${what} in the file cannot be used: ${(error as Error).message.replace(/\s+/g, ' ')}`);
  }
}

function once(what: string, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw new Error(`the ${what} ${name} is in the file twice`);
    seen.add(name);
  }
}

function checkAccounts(account: StoredAccount, subusers: readonly StoredAccount[]): void {
  for (const one of [account, ...subusers]) within(`account ${one.id}`, () => checkAccountName(one.name));
  for (const { id, name, parentId } of subusers) {
    if (parentId !== account.id)
      throw new Error(`account ${name} (${id}) in the file is no subuser of ${account.name}`);
  }
  const ids = [account.id, ...subusers.map(({ id }) => id)];
  once('account', ids);
}

function checkIps(
  ips: readonly LineOf<'ip'>[],
  subusers: readonly StoredAccount[],
  rows: ReadonlySet<string>,
): void {
  const known = new Set(subusers.map(({ id }) => id));
  const addresses = ips.map(({ id, record }) => {
    const ip = within(`the record of ${id}`, () => readStoredIp(id, record));
    if (ip.id !== id) throw new Error(`the record of ${id} in the file is that of ${ip.id}`);
    if (ip.status === 'released') throw new Error(`${id} in the file was released`);
    const address = within(`the address of ${id}`, () => canonicalAddress(ip.address));
    if (address !== ip.address)
      throw new Error(`${ip.address} of ${id} in the file is not written as ${address}`);
    within(`the record of ${id}`, () => checkCalendar(ip));
    if (ip.warmup && !rows.has(ip.warmup.digest))
      throw new Error(`the rows of the plan of ${id} are not in the file`);
    const stranger = ip.subusers.find((subuser) => !known.has(subuser));
    if (stranger !== undefined)
      throw new Error(
        `${ip.address} in the file carries the label of ${stranger}, which is no subuser in it`,
      );
    return address;
  });
  const ids = ips.map(({ id }) => id);
  once('IP', ids);
  once('address', addresses);
}

/** By another one no day would begin, and nothing could be published. */
function checkCalendar({ warmup }: DedicatedIp): void {
  if (!warmup) return;
  checkZone(warmup.zone);
  checkDayStartsAt(warmup.dayStartsAt);
}

function checkPools(pools: readonly LineOf<'pool'>[]): void {
  const [ids, names] = [pools.map(({ pool }) => pool.id), pools.map(({ pool }) => pool.name)];
  once('pool', ids);
  once('pool', names);
}

function checkKeys(account: StoredAccount, keys: readonly LineOf<'key'>[]): void {
  for (const { record } of keys) {
    const what = `the API key ${record.id}`;
    if (record.account !== account.id)
      throw new Error(
        `${what} in the file is one of ${record.account}, and the file is of ${account.name} (${account.id})`,
      );
    // The start has made it, and makes it anew.
    if (record.id === ENVIRONMENT.id) throw new Error(`${what} in the file is not of this account`);
    within(what, () => {
      checkScopes(record.scopes, account);
      if (record.name !== null) checkKeyName(record.name);
    });
  }
  const [ids, hashes] = [keys.map(({ record }) => record.id), keys.map(({ hash }) => hash)];
  once('API key', ids);
  once('hash of a key', hashes);
}

function checkChanges(changes: readonly LineOf<'change'>[]): void {
  let before = '0-0';
  for (const { id, change } of changes) {
    if (!isBefore(before, id))
      throw new Error(`the changes in the file are not in order: ${id} stands behind ${before}`);
    before = id;
    within(`change ${id}`, () => {
      const { at } = JSON.parse(change) as { at?: unknown };
      if (typeof at !== 'string' || Number.isNaN(Date.parse(at)))
        throw new Error('it does not say when it was');
    });
  }
}
