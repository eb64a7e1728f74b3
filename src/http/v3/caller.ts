/** In whose name a request of the v3 dialect acts, and the names that its answers need. */
import type { FastifyRequest } from 'fastify';
import type { Account } from '../../fleet/accounts.ts';
import { ipsOfAddresses } from '../../fleet/by-address.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { allPools } from '../../fleet/pools.ts';
import { accountsOf, findSubusers } from '../../fleet/subusers.ts';
import { accountKeys } from '../../redis/keys.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import { checkIpv4, type Names, refuse, resourceNotFound } from '../../wire/v3.ts';
import type { Context } from '../context.ts';

export type V3Caller = { tenant: Tenant; account: Account };

/** The account of the key, or the subuser that it acts for. */
export async function callerOf(context: Context, request: FastifyRequest): Promise<V3Caller> {
  const tenant = context.tenantOf(request);
  const { account } = context.callerOf(request);
  const behalf = request.headers['on-behalf-of'];
  if (typeof behalf !== 'string' || behalf === '') return { tenant, account };
  const { found } = await findSubusers(tenant.engine, account.id, [behalf]);
  const subuser = found[0];
  if (!subuser) throw refuse(null, 'access forbidden', 403);
  const { id, parentId } = subuser;
  const ref = { id, parentId };
  return { tenant: { ...tenant, account: ref, keys: accountKeys(ref) }, account: subuser };
}

/** The names of the account's pools, of which there are at most 100. */
export async function poolNamesOf(tenant: Tenant): Promise<Pick<Names, 'pools'>> {
  const pools = await allPools(tenant);
  return { pools: new Map(pools.map((pool) => [pool.id, pool])) };
}

/** With the names of the subusers of some IPs. */
export async function namesOf(tenant: Tenant, ips: readonly DedicatedIp[]): Promise<Names> {
  const ids = [...new Set(ips.flatMap((ip) => ip.subusers))];
  const [{ pools }, accounts] = await Promise.all([poolNamesOf(tenant), accountsOf(tenant.engine, ids)]);
  const known = accounts.filter((account) => account !== null);
  return { pools, subusers: new Map(known.map((account) => [account.id, account])) };
}

/** The IP of an address in the words of the older family: one that is not on the account is 404. */
export async function ipOr404(tenant: Tenant, address: string): Promise<DedicatedIp> {
  const [ip] = await ipsOfAddresses(tenant, [checkIpv4(address)]);
  if (!ip) throw resourceNotFound();
  return ip;
}
