/** `/v3/ips/pools`: pools by name. They are the same pools as those of `/v3/send_ips/pools` and of the v1 dialect. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ipsOfAddresses } from '../../fleet/by-address.ts';
import { loadIps } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import type { Pool } from '../../fleet/pool.ts';
import {
  addIpsToPool,
  allPools,
  createPool,
  deletePool,
  findPoolByName,
  membersOf,
  removeIpsFromPool,
  renamePool,
} from '../../fleet/pools.ts';
import {
  checkIpv4,
  IpBody,
  LegacyPool,
  LegacyPoolBody,
  legacyPoolOf,
  OfMember,
  OfPoolName,
  PoolMember,
  PoolNameAnswer,
  PoolNames,
  poolMemberOf,
  readV3Body,
  refuse,
  resourceNotFound,
  V3Refusal,
} from '../../wire/v3.ts';
import type { Context } from '../context.ts';
import { callerOf, poolNamesOf } from './caller.ts';
import { inWordsOfPools, isRefused } from './refusals.ts';

type OnePool = { Params: { pool_name: string } };
type OneMember = { Params: { pool_name: string; ip: string } };

export function registerPools(app: FastifyInstance, context: Context): void {
  app.post(
    '/v3/ips/pools',
    {
      config: {
        docs: {
          summary: 'Create a pool',
          body: LegacyPoolBody,
          answers: { 200: PoolNameAnswer },
          example: { name: 'marketing' },
        },
      },
    },
    async (request) => {
      const { name } = readV3Body(LegacyPoolBody, request.body);
      const { tenant } = await callerOf(context, request);
      await inWordsOfPools(() => createPool(tenant, { name }));
      return { name };
    },
  );

  app.get(
    '/v3/ips/pools',
    {
      config: { docs: { summary: 'All pools, in the order of their creation', answers: { 200: PoolNames } } },
    },
    async (request) => {
      const { tenant } = await callerOf(context, request);
      return (await allPools(tenant)).map(({ name }) => ({ name }));
    },
  );

  app.get<OnePool>(
    '/v3/ips/pools/:pool_name',
    {
      config: {
        docs: {
          summary: 'The IPs of a pool, in the order in which they joined',
          params: OfPoolName,
          answers: { 200: LegacyPool },
        },
      },
    },
    async (request) => {
      const { tenant } = await callerOf(context, request);
      const pool = await poolNamed(tenant, request.params.pool_name);
      if (!pool) throw refuse('error', UNKNOWN, 404);
      const ips = await loadIps(tenant, await membersOf(tenant, pool.id));
      return legacyPoolOf(pool.name, ips, shapeFor(context, request));
    },
  );

  app.put<OnePool>(
    '/v3/ips/pools/:pool_name',
    {
      config: {
        docs: {
          summary: 'Rename a pool',
          body: LegacyPoolBody,
          params: OfPoolName,
          answers: { 200: PoolNameAnswer },
          example: { name: 'new_pool_name' },
        },
      },
    },
    async (request) => {
      const { name } = readV3Body(LegacyPoolBody, request.body);
      const { tenant } = await callerOf(context, request);
      const pool = await poolNamed(tenant, request.params.pool_name);
      if (!pool) throw refuse(null, 'ip pool not found', 404);
      await inWordsOfPools(() =>
        orGone(refuse(null, 'ip pool not found', 404), () => renamePool(tenant, pool.id, name, pool.name)),
      );
      return { name };
    },
  );

  app.delete<OnePool>(
    '/v3/ips/pools/:pool_name',
    {
      config: {
        docs: {
          summary: 'Delete a pool; its IPs stay on the account',
          params: OfPoolName,
          answers: { 204: null },
        },
      },
    },
    async (request, reply) => {
      const { tenant } = await callerOf(context, request);
      const pool = await poolNamed(tenant, request.params.pool_name);
      if (!pool) throw unlocatable();
      await orGone(unlocatable(), () => deletePool(tenant, pool.id, pool.name));
      return reply.code(204).send();
    },
  );

  app.post<OnePool>(
    '/v3/ips/pools/:pool_name/ips',
    {
      config: {
        docs: {
          summary: 'Add an IP to a pool',
          body: IpBody,
          params: OfPoolName,
          answers: { 200: PoolMember },
          example: { ip: '198.51.100.7' },
        },
      },
    },
    async (request) => {
      const { ip: address } = readV3Body(IpBody, request.body);
      const { tenant } = await callerOf(context, request);
      const [pool, [found]] = await Promise.all([
        poolNamed(tenant, request.params.pool_name),
        ipsOfAddresses(tenant, [address]),
      ]);
      if (!pool || !found) throw resourceNotFound();
      if (!found.whitelabeled) throw refuse('ip', 'IP pools can only be used with whitelabeled IP addresses');
      const { ips } = await inWordsOfPools(() =>
        orGone(resourceNotFound(), () => addIpsToPool(tenant, pool.id, [found.id])),
      );
      return poolMemberOf(ips[0]!, await poolNamesOf(tenant));
    },
  );

  app.delete<OneMember>(
    '/v3/ips/pools/:pool_name/ips/:ip',
    { config: { docs: { summary: 'Remove an IP from a pool', params: OfMember, answers: { 204: null } } } },
    async (request, reply) => {
      const address = checkIpv4(request.params.ip);
      const { tenant } = await callerOf(context, request);
      const [pool, [ip]] = await Promise.all([
        poolNamed(tenant, request.params.pool_name),
        ipsOfAddresses(tenant, [address]),
      ]);
      if (!pool || !ip) throw unlocatable();
      await orGone(unlocatable(), () => removeIpsFromPool(tenant, pool.id, [ip.id]));
      return reply.code(204).send();
    },
  );
}

const UNKNOWN = 'Unable to locate specified IPs Pool';

/** SendGrid documents `error` here and its clients read `errors`; both are served. */
const unlocatable = () => new V3Refusal(404, [{ field: null, message: UNKNOWN }], { error: UNKNOWN });

/** By its literal name first: some clients write a space as a plus, and a name may have a plus of its own. */
const poolNamed = async (tenant: Tenant, name: string): Promise<Pool | null> =>
  (await findPoolByName(tenant, name)) ??
  (name.includes('+') ? findPoolByName(tenant, name.replaceAll('+', ' ')) : null);

function shapeFor(context: Context, request: FastifyRequest): 'strings' | 'objects' {
  const caller: { poolIps?: unknown } = context.callerOf(request);
  return caller.poolIps === 'objects' ? 'objects' : 'strings';
}

/** What was there a moment ago may be gone. */
async function orGone<Result>(refusal: V3Refusal, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (isRefused(error, 'not_found')) throw refusal;
    if (isRefused(error, 'conflict') && error.details.status !== undefined) throw refusal;
    throw error;
  }
}
