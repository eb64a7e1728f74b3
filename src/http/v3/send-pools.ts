/** `/v3/send_ips/pools`: pools by number. What is asked of several IPs happens to all of them or to none. */
import { isIPv4 } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { ipsOfAddresses } from '../../fleet/by-address.ts';
import { loadIps } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import type { Pool } from '../../fleet/pool.ts';
import {
  addIpsToPool,
  allPools,
  createPool,
  deletePool,
  getPool,
  membersOf,
  removeIpsFromPool,
  renamePool,
} from '../../fleet/pools.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import {
  checkIpv4,
  checkPoolId,
  countByRegion,
  IncludeRegionQuery,
  ListPoolIpsQuery,
  ListSendPoolsQuery,
  OfPoolId,
  readV3,
  readV3Body,
  refuse,
  regionOf,
  SendPool,
  SendPoolBody,
  SendPoolIps,
  SendPoolIpsBody,
  SendPoolName,
  SendPoolNameBody,
  SendPools,
  SendPoolWithIps,
  sendPoolIpOf,
  sendPoolOf,
  V3Refusal,
} from '../../wire/v3.ts';
import type { Context } from '../context.ts';
import { callerOf, poolNamesOf } from './caller.ts';
import { inWordsOfPools, isRefused } from './refusals.ts';
import { pageOf } from './send-ips.ts';

type OnePool = { Params: { poolid: string } };

export function registerSendPools(app: FastifyInstance, context: Context): void {
  app.get(
    '/v3/send_ips/pools',
    {
      config: {
        docs: { summary: 'The pools, page by page', query: ListSendPoolsQuery, answers: { 200: SendPools } },
      },
    },
    async (request) => {
      const { limit, after_key = -1, ip, region, include_region } = readV3(ListSendPoolsQuery, request.query);
      const { tenant } = await callerOf(context, request);
      let pools = (await allPools(tenant)).sort((a, b) => a.number - b.number);
      if (ip !== undefined) {
        const [found] = await ipsOfAddresses(tenant, [ip]);
        pools = pools.filter(({ id }) => found?.pools.includes(id));
      }
      const rest = pools.filter(({ number }) => number > after_key);
      const shown: { pool: Pool; members: DedicatedIp[] }[] = [];
      let hasMore = false;
      for (const pool of rest) {
        const members = await loadIps(tenant, await membersOf(tenant, pool.id));
        if (region !== undefined && !members.some((one) => region === 'all' || regionOf(one) === region))
          continue;
        hasMore = shown.length === limit;
        if (hasMore) break;
        shown.push({ pool, members });
      }
      const after = hasMore ? String(shown.at(-1)!.pool.number) : null;
      return {
        result: shown.map(({ pool, members }) => ({
          ...sendPoolOf(pool, members),
          ...(include_region ? { regions: countByRegion(members).map((one) => one.region) } : {}),
        })),
        _metadata: { after_key: after, next_params: { after_key: after } },
      };
    },
  );

  app.post(
    '/v3/send_ips/pools',
    {
      config: {
        docs: {
          summary: 'Create a pool with its IPs: all of them, or there is no pool',
          body: SendPoolBody,
          answers: { 201: SendPoolWithIps },
          example: { name: 'transactional_pool', ips: ['198.51.100.7'] },
        },
      },
    },
    async (request, reply) => {
      const { name, ips: addresses } = readV3Body(SendPoolBody, request.body);
      const { tenant } = await callerOf(context, request);
      const pool = await withAssignable(tenant, addresses, (ips) => createPool(tenant, { name, ips }));
      return reply.code(201).send({ ...nameOf(pool), ips: addresses });
    },
  );

  app.get<OnePool>(
    '/v3/send_ips/pools/:poolid',
    {
      config: {
        docs: {
          summary: 'One pool',
          query: IncludeRegionQuery,
          params: OfPoolId,
          answers: { 200: SendPool },
        },
      },
    },
    async (request) => {
      const { include_region } = readV3(IncludeRegionQuery, request.query);
      const { tenant } = await callerOf(context, request);
      const pool = await poolOr400(tenant, request.params.poolid);
      const members = await loadIps(tenant, await membersOf(tenant, pool.id));
      return {
        ...sendPoolOf(pool, members),
        ...(include_region ? { ip_count_by_region: countByRegion(members) } : {}),
      };
    },
  );

  app.put<OnePool>(
    '/v3/send_ips/pools/:poolid',
    {
      config: {
        docs: {
          summary: 'Rename a pool',
          body: SendPoolNameBody,
          params: OfPoolId,
          answers: { 200: SendPoolName },
          example: { name: 'marketing_pool' },
        },
      },
    },
    async (request) => {
      const { name } = readV3Body(SendPoolNameBody, request.body);
      const { tenant } = await callerOf(context, request);
      const { id } = await poolOr400(tenant, request.params.poolid);
      return nameOf(await orUnknown(() => renamePool(tenant, id, name)));
    },
  );

  app.delete<OnePool>(
    '/v3/send_ips/pools/:poolid',
    {
      config: {
        docs: {
          summary: 'Delete a pool; its IPs stay on the account',
          params: OfPoolId,
          answers: { 204: null },
        },
      },
    },
    async (request, reply) => {
      const { tenant } = await callerOf(context, request);
      const { id } = await poolOr400(tenant, request.params.poolid);
      await orUnknown(() => deletePool(tenant, id));
      return reply.code(204).send();
    },
  );

  app.get<OnePool>(
    '/v3/send_ips/pools/:poolid/ips',
    {
      config: {
        docs: {
          summary: 'The IPs of a pool, by address',
          query: ListPoolIpsQuery,
          params: OfPoolId,
          answers: { 200: SendPoolIps },
        },
      },
    },
    async (request) => {
      const { limit, after_key: after = null, include_region } = readV3(ListPoolIpsQuery, request.query);
      const { tenant } = await callerOf(context, request);
      const pool = await poolOr400(tenant, request.params.poolid);
      const [members, names] = await Promise.all([
        membersOf(tenant, pool.id).then((ids) => loadIps(tenant, ids)),
        poolNamesOf(tenant),
      ]);
      const { ips, afterKey } = pageOf(members, { after, before: null, limit });
      return {
        result: ips.map((ip) => sendPoolIpOf(ip, names, { includeRegion: include_region === true })),
        _metadata: { next_params: { after_key: afterKey } },
      };
    },
  );

  app.post<OnePool>(
    '/v3/send_ips/pools/:poolid/ips::batchAdd',
    {
      config: {
        docs: {
          summary: 'Add IPs to a pool, all of them or none',
          body: SendPoolIpsBody,
          params: OfPoolId,
          answers: { 200: SendPoolWithIps },
          example: { ips: ['198.51.100.7'] },
        },
      },
    },
    async (request) => {
      const { ips: addresses } = readV3Body(SendPoolIpsBody, request.body);
      for (const address of addresses) checkIpv4(address, 'ips');
      const { tenant } = await callerOf(context, request);
      const { id } = await poolOr400(tenant, request.params.poolid);
      const { pool } = await withAssignable(tenant, addresses, (ips) => addIpsToPool(tenant, id, ips));
      const members = await loadIps(tenant, await membersOf(tenant, id));
      return { ...nameOf(pool), ips: members.map(({ address }) => address) };
    },
  );

  app.post<OnePool>(
    '/v3/send_ips/pools/:poolid/ips::batchDelete',
    {
      config: {
        docs: {
          summary: 'Remove IPs from a pool, all of them or none',
          body: SendPoolIpsBody,
          params: OfPoolId,
          answers: { 204: null },
          example: { ips: ['198.51.100.7'] },
        },
      },
    },
    async (request, reply) => {
      const { ips: addresses } = readV3Body(SendPoolIpsBody, request.body);
      for (const address of addresses) checkIpv4(address, 'ips');
      const { tenant } = await callerOf(context, request);
      const pool = await poolOr400(tenant, request.params.poolid);
      await whileTheyChange(async () => {
        const found = await ipsOfAddresses(tenant, addresses);
        const strangers = addresses.filter((_, index) => !found[index]?.pools.includes(pool.id));
        if (strangers.length > 0)
          throw refuse('ips', `not found in pool ‘${pool.name}’: ${strangers.join(', ')}`);
        await removeIpsFromPool(
          tenant,
          pool.id,
          found.map((ip) => ip!.id),
        );
      });
      return reply.code(204).send();
    },
  );
}

const nameOf = ({ name, number }: Pool) => ({ name, id: String(number) });

const unknownPool = () => refuse('poolid', 'not found');

async function poolOr400(tenant: Tenant, poolid: string): Promise<Pool> {
  const number = checkPoolId(poolid);
  return orUnknown(() => getPool(tenant, number));
}

/** There is no such pool, or no longer. */
const orUnknown = <Result>(work: () => Promise<Result>): Promise<Result> =>
  inWordsOfPools(async () => {
    try {
      return await work();
    } catch (error) {
      throw isRefused(error, 'not_found') ? unknownPool() : error;
    }
  });

/**
 * Does something with the IPs of addresses, unless one of them cannot be put into a pool; then all such are named. This
 * dialect asks for IPv4 only, also where the account has other addresses.
 */
async function withAssignable<Result>(
  tenant: Tenant,
  addresses: readonly string[],
  work: (ipIds: string[]) => Promise<Result>,
): Promise<Result> {
  return whileTheyChange(async () => {
    const found = await ipsOfAddresses(tenant, addresses);
    const bad = addresses.filter((address, index) => !isIPv4(address) || !found[index]?.whitelabeled);
    if (bad.length > 0) throw refuse('ips', `unable to verify IPs assignability: ${bad.join(', ')}`);
    return inWordsOfPools(() => work(found.map((ip) => ip!.id)));
  });
}

/** An IP that was looked at may be released before it is changed: then a second look tells. */
async function whileTheyChange<Result>(attempt: () => Promise<Result>): Promise<Result> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof V3Refusal || !isRefused(error, 'not_found', 'conflict')) throw error;
    if (isRefused(error, 'not_found') && error.param === 'pool') throw unknownPool();
    return attempt();
  }
}
