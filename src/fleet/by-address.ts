/**
 * The account's IPs by address, as the v3 dialect lists them: IPv4 before IPv6, each by value. Pages begin behind or before an
 * address, so whoever comes or goes in the meantime shifts nothing, and a page costs the same among 1 000 and 100 000 IPs.
 */
import { addressOfSortable, sortableAddress } from '../warmup/address.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';
import { loadIps } from './change.ts';
import type { Tenant } from './engine.ts';

/** A filter that matches little looks at this many IPs for one page, and leaves the rest to the next. */
const MOST_LOOKED_AT = 1_000;
/** So many are read at a time. */
const BATCH = 500;

export type AddressPage = {
  ips: DedicatedIp[];
  /** Where the page after and the page before this one begin; `null` when there is nothing. */
  afterKey: string | null;
  beforeKey: string | null;
};

/**
 * One page in ascending order.
 * @param after the page begins behind this address @param before or it ends before this one; neither need be there
 * @param within only addresses from the first to the last of these @param inStatus only IPs in a status that has a list of its own
 */
export async function pageByAddress(
  tenant: Tenant,
  {
    limit,
    after = null,
    before = null,
    within = null,
    inStatus = null,
    wanted = () => true,
  }: {
    limit: number;
    after?: string | null;
    before?: string | null;
    within?: readonly [first: string, last: string] | null;
    inStatus?: 'provisioning' | 'warming' | null;
    wanted?: (ip: DedicatedIp) => boolean;
  },
): Promise<AddressPage> {
  const list = inStatus === null ? tenant.keys.byAddress : tenant.keys[inStatus];
  const isForward = before === null;
  // ';' is the character behind ':', which ends the address in a member.
  const [lowest, highest] = within
    ? [`[${sortableAddress(within[0])}`, `(${sortableAddress(within[1])};`]
    : ['-', '+'];
  const most = Math.max(limit, MOST_LOOKED_AT);
  const found: { ip: DedicatedIp; member: string }[] = [];
  let from =
    before !== null
      ? `(${sortableAddress(before)}:`
      : after === null
        ? lowest
        : `[${sortableAddress(after)};`;
  let last: string | null = null;
  let hasMore = false;
  for (let looked = 0; !hasMore; ) {
    // One more than fits: it tells whether this page is the last.
    const asked = Math.min(BATCH, most - looked, limit - found.length) + 1;
    const members = await range(tenant, list, { from, to: isForward ? highest : lowest }, asked, isForward);
    const ips = new Map((await loadIps(tenant, members.map(idIn))).map((ip) => [ip.id, ip]));
    for (const member of members) {
      hasMore = found.length === limit || looked === most;
      if (hasMore) break;
      const ip = ips.get(idIn(member));
      if (ip && wanted(ip)) found.push({ ip, member });
      last = member;
      looked += 1;
    }
    if (members.length < asked) break;
    from = `(${last}`;
  }
  const further = hasMore && last ? addressIn(last) : null;
  const [first] = found;
  const behind = { from: `(${first?.member}`, to: isForward ? lowest : highest };
  const hasBack = first && (await range(tenant, list, behind, 1, !isForward)).length > 0;
  const back = hasBack ? first.ip.address : null;
  const ips = found.map(({ ip }) => ip);
  return isForward
    ? { ips, afterKey: further, beforeKey: back }
    : { ips: ips.reverse(), afterKey: back, beforeKey: further };
}

const idIn = (member: string) => member.slice(member.indexOf(':') + 1);
const addressIn = (member: string) => addressOfSortable(member.slice(0, member.indexOf(':')));

const range = (
  { engine }: Tenant,
  list: string,
  { from, to }: { from: string; to: string },
  count: number,
  isForward: boolean,
) =>
  isForward
    ? engine.scripts.redis.zrangebylex(list, from, to, 'LIMIT', 0, count)
    : engine.scripts.redis.zrevrangebylex(list, from, to, 'LIMIT', 0, count);

/** By rank, for clients that count instead of giving a cursor. */
export async function ipsByRank(
  tenant: Tenant,
  {
    offset,
    limit,
    descending = false,
    subuserId = null,
  }: { offset: number; limit: number; descending?: boolean; subuserId?: string | null },
): Promise<DedicatedIp[]> {
  const list = subuserId === null ? tenant.keys.byAddress : tenant.keys.subuserIps(subuserId);
  const { redis } = tenant.engine.scripts;
  const members = await (descending
    ? redis.zrevrange(list, String(offset), String(offset + limit - 1))
    : redis.zrange(list, String(offset), String(offset + limit - 1)));
  return loadIps(tenant, members.map(idIn));
}

/** Every IP that warms up, in handfuls: no reply of Redis grows with their number. */
export const eachWarming = (tenant: Tenant) => eachOf(tenant, tenant.keys.warming);
export const eachByAddress = (tenant: Tenant) => eachOf(tenant, tenant.keys.byAddress);

async function* eachOf(tenant: Tenant, list: string): AsyncGenerator<DedicatedIp> {
  for (let from = '-'; ; ) {
    const members = await range(tenant, list, { from, to: '+' }, BATCH, true);
    yield* await loadIps(tenant, members.map(idIn));
    if (members.length < BATCH) return;
    from = `(${members.at(-1)}`;
  }
}

/** The IPs of addresses, in their order; `null` for one that is not on the account (or no longer: in cooldown). */
export async function ipsOfAddresses(
  tenant: Tenant,
  addresses: readonly string[],
): Promise<(DedicatedIp | null)[]> {
  if (addresses.length === 0) return [];
  const ids = await tenant.engine.scripts.redis.hmget(tenant.keys.addresses, ...addresses);
  const known = await loadIps(
    tenant,
    ids.filter((id) => id !== null),
  );
  const byId = new Map(known.filter(isOnAccount).map((ip) => [ip.id, ip]));
  return ids.map((id) => (id === null ? null : (byId.get(id) ?? null)));
}

const isOnAccount = ({ status }: DedicatedIp) => status !== 'cooldown' && status !== 'released';

/** How many IPs there are in each status: the lengths of lists, so it costs the same for any number. */
export async function countIps({
  engine,
  keys,
}: Tenant): Promise<Record<'provisioning' | 'warming' | 'active' | 'cooldown', number>> {
  const { redis } = engine.scripts;
  const [all, onAccount, provisioning, warming] = await Promise.all([
    redis.zcard(keys.ips),
    redis.zcard(keys.byAddress),
    redis.zcard(keys.provisioning),
    redis.zcard(keys.warming),
  ]);
  // They were read one after the other, and an IP may have moved in between.
  const active = Math.max(0, onAccount - provisioning - warming);
  return { provisioning, warming, active, cooldown: Math.max(0, all - onAccount) };
}
