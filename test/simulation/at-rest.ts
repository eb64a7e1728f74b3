/** When nothing is under way, all that Redis has is looked at: records, indexes, quotas, the inventory, and what nobody should find there. */
import { sortableAddress } from '../../src/warmup/address.ts';
import { warmupDayAt } from '../../src/warmup/progress.ts';
import { readStoredIp } from '../../src/warmup/stored-ip.ts';
import { type Books, Broken } from './books.ts';
import type { World } from './world.ts';

export async function auditAtRest(world: World): Promise<void> {
  const nowMs = world.nowMs;
  for (const books of world.books) await auditAccount(world, books, nowMs);
  await auditInventory(world);
  auditGrants(world);
}

const wrong = (promise: string, message: string): never => {
  throw new Broken(promise, message);
};
const same = (a: Iterable<string>, b: Iterable<string>) =>
  JSON.stringify([...a].sort()) === JSON.stringify([...b].sort());

async function auditAccount({ redis }: World, books: Books, nowMs: number): Promise<void> {
  const { keys } = books;
  const [living, choosable] = [books.living(), books.choosable()];
  const [records, addresses, all, due, byAddress, warming, provisioning, poolIds] = await Promise.all([
    books.ips.size === 0 ? [] : redis.mget([...books.ips.keys()].map(keys.ip)),
    redis.hgetall(keys.addresses),
    redis.zrange(keys.ips, '0', '-1'),
    redis.zrange(keys.due, '0', '-1', 'WITHSCORES'),
    redis.zrange(keys.byAddress, '0', '-1'),
    redis.zrange(keys.warming, '0', '-1'),
    redis.zrange(keys.provisioning, '0', '-1'),
    redis.zrange(keys.pools, '0', '-1'),
  ]);
  const dueAt = new Map(
    due.flatMap((id, index) => (index % 2 === 0 ? [[id, Number(due[index + 1])] as const] : [])),
  );
  for (const [index, ip] of [...books.ips.values()].entries()) {
    const raw = records[index] ?? wrong('no loss', `the record of ${ip.address} is gone`);
    const record = readStoredIp(ip.id, raw);
    const differs = (what: string, is: unknown, should: unknown) =>
      wrong('once', `the record of ${ip.address} has ${what} ${is}, and should have ${should}`);
    if (record.status !== ip.status) differs('status', record.status, ip.status);
    if (!same(record.pools, ip.pools)) differs('pools', record.pools, [...ip.pools]);
    const held = record.holds.map(({ scope }) => scope);
    if (ip.status !== 'released' && !same(held, ip.holds.keys()))
      differs('holds', held, [...ip.holds.keys()]);
    if (ip.status === 'warming') {
      const day = warmupDayAt({ ...record, warmup: record.warmup! }, nowMs);
      if (day !== ip.warmupDayAt(nowMs)) differs('day', day, ip.warmupDayAt(nowMs));
      if (ip.isComplete(nowMs)) wrong('once', `${ip.address} is past its last day and still warms up`);
      if (ip.published!.day !== ip.days.dayAt(nowMs))
        wrong(
          'published',
          `${ip.address} has day ${ip.published!.day} published on day ${ip.days.dayAt(nowMs)}`,
        );
    }
    if (ip.status === 'cooldown' && nowMs >= ip.cooldown!.untilMs)
      wrong('once', `${ip.address} is past its cooldown and not released`);
    const isAwaited = ip.status === 'warming' || ip.status === 'active' || ip.status === 'cooldown';
    if (isAwaited && !dueAt.has(ip.id)) wrong('once', `${ip.address} is ${ip.status} and never due`);
    if ((dueAt.get(ip.id) ?? Number.POSITIVE_INFINITY) <= nowMs)
      wrong('once', `${ip.address} is due and was left`);
  }
  if (
    !same(
      Object.entries(addresses).map(String),
      living.map(({ address, id }) => `${address},${id}`),
    )
  )
    wrong('atomic', 'the addresses of the account are not those of its IPs');
  if (
    !same(
      all,
      living.map(({ id }) => id),
    )
  )
    wrong('atomic', 'the list of IPs is not that of the account');
  const member = ({ address, id }: { address: string; id: string }) => `${sortableAddress(address)}:${id}`;
  if (!same(byAddress, choosable.map(member))) wrong('atomic', 'the list by address is not that of the IPs');
  if (!same(warming, choosable.filter(({ status }) => status === 'warming').map(member)))
    wrong('atomic', 'the list of warming IPs is wrong');
  if (!same(provisioning, choosable.filter(({ status }) => status === 'provisioning').map(member)))
    wrong('atomic', 'the list of provisioning IPs is wrong');
  for (const scope of ['all', ...poolIds]) {
    const members = choosable.filter(({ pools }) => scope === 'all' || pools.has(scope));
    const [ids, ...turns] = await Promise.all([
      scope === 'all' ? members.map(({ id }) => id) : redis.zrange(keys.poolIps(scope), '0', '-1'),
      ...['4', '6'].map((family) => redis.zrange(`${keys.prefix}turn:${scope}:${family}`, '0', '-1')),
      ...['4', '6'].map((family) => redis.zrange(`${keys.prefix}ready:${scope}:${family}`, '0', '-1')),
    ]);
    if (
      !same(
        ids,
        members.map(({ id }) => id),
      )
    )
      wrong('atomic', `the IPs of pool ${scope} are not those that say so`);
    const [all4, all6, ready4, ready6] = turns as [string[], string[], string[], string[]];
    if (
      !same(
        [...all4, ...all6],
        members.map(({ address }) => address),
      )
    )
      wrong('atomic', `the choice of ${scope} has other IPs than the pool`);
    const strangers = [...ready4, ...ready6].filter(
      (address) => !members.some((ip) => ip.address === address),
    );
    if (strangers.length > 0) wrong('atomic', `the choice of ${scope} has ${strangers} ready`);
  }
}

/** Each address is in exactly one place. */
async function auditInventory({ redis, books }: World): Promise<void> {
  const [entries, free, pending, journal] = await Promise.all([
    redis.hgetall('warmline:{inventory}:entries'),
    redis.zrange('warmline:{inventory}:free', '0', '-1'),
    redis.zcard('warmline:{inventory}:pending'),
    redis.hlen('warmline:{inventory}:journal'),
  ]);
  if (pending + journal > 0) wrong('atomic', `${pending} allocations are left`);
  const queued = new Set(free);
  const held = new Map(
    books.flatMap((account) => account.living().map(({ address, id }) => [address, id] as const)),
  );
  for (const [address, raw] of Object.entries(entries)) {
    const { state, ipId } = JSON.parse(raw) as { state: string; ipId?: string };
    if (
      state === 'free'
        ? !queued.delete(address) || held.has(address)
        : state !== 'held' || held.get(address) !== ipId
    ) {
      wrong(
        'atomic',
        `${address} is ${state} (${ipId ?? 'nobody'}), and ${held.get(address) ?? 'nobody'} has it`,
      );
    }
    held.delete(address);
  }
  if (queued.size > 0) wrong('atomic', `${[...queued]} are free and unknown`);
  if (held.size > 0) wrong('atomic', `${[...held.keys()]} are held and not in the inventory`);
}

/** A process whose connection never broke was told all that was charged for it, by takes or to its leases. */
function auditGrants({ programs }: World): void {
  for (const { process, told, leases, closedLeases } of programs) {
    if (process.cuts > 0) continue;
    if (told !== process.taken)
      wrong('exact', `${process.name} was told of ${told} sends, and ${process.taken} were charged`);
    const leased = leases.reduce((sum, { lease }) => sum + lease.stats.granted, closedLeases);
    if (leased !== process.leased)
      wrong('exact', `the leases of ${process.name} say ${leased} sends, and ${process.leased} were charged`);
  }
}
