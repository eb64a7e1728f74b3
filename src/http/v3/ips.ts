/** `/v3/ips`: the account's IPs as the older family shows them, and more of them from the inventory. */
import type { FastifyInstance } from 'fastify';
import { eachByAddress, ipsByRank, ipsOfAddresses } from '../../fleet/by-address.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { countFree, createIps } from '../../fleet/inventory.ts';
import { findSubusers } from '../../fleet/subusers.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import {
  AddLegacyIpsBody,
  isAssigned,
  LegacyIp,
  LegacyIps,
  LegacyIpsAdded,
  ListLegacyIpsQuery,
  legacyIpOf,
  legacyListedIpOf,
  OfIpAddress,
  PoolMembers,
  poolMemberOf,
  RemainingIps,
  readV3,
  readV3Body,
  refuse,
} from '../../wire/v3.ts';
import type { Context } from '../context.ts';
import { callerOf, ipOr404, namesOf, poolNamesOf } from './caller.ts';
import { isRefused } from './refusals.ts';

type Listing = {
  offset: number;
  limit: number;
  descending: boolean;
  address?: string | undefined;
  subuser?: string | undefined;
};

export function registerIps(app: FastifyInstance, context: Context): void {
  app.get(
    '/v3/ips',
    {
      config: {
        docs: {
          summary: 'The IPs of the account, by address',
          query: ListLegacyIpsQuery,
          answers: { 200: LegacyIps },
        },
      },
    },
    async (request) => {
      const { ip: address, subuser, ...query } = readV3(ListLegacyIpsQuery, request.query);
      const { tenant } = await callerOf(context, request);
      const descending = query.sort_by_direction === 'desc';
      const ips = await listed(tenant, {
        offset: query.offset,
        limit: query.limit,
        descending,
        address,
        subuser,
      });
      const names = await namesOf(tenant, ips);
      const withRdns = query.exclude_whitelabels !== true;
      return ips.map((ip) => legacyListedIpOf(ip, names, { withRdns }));
    },
  );

  app.post(
    '/v3/ips',
    {
      config: {
        docs: {
          summary: 'Take IPs from the inventory',
          body: AddLegacyIpsBody,
          answers: { 201: LegacyIpsAdded },
          example: { count: 1, subusers: [], warmup: true },
        },
      },
    },
    async (request, reply) => {
      const {
        count,
        subusers = [],
        warmup = false,
        user_can_send = true,
      } = readV3Body(AddLegacyIpsBody, request.body);
      const { tenant, account } = await callerOf(context, request);
      const { engine } = tenant;
      const { found, unknown } = await findSubusers(engine, account.id, subusers);
      if (unknown.length > 0) throw refuse(null, 'one or more subusers do not belong to this user');
      const given = {
        autoWarmup: warmup,
        parentAssigned: user_can_send,
        subusers: found.map(({ id }) => id),
      };
      const ips = await orNoneLeft(null, 'no IPs remaining', () =>
        createIps(tenant, { count, family: 4, ...given }),
      );
      const names = found.map(({ name }) => name);
      return reply.code(201).send({
        ips: ips.map(({ address }) => ({ ip: address, subusers: names })),
        remaining_ips: await countFree(engine, 4),
        warmup,
      });
    },
  );

  app.get(
    '/v3/ips/assigned',
    { config: { docs: { summary: 'The IPs that somebody may send from', answers: { 200: PoolMembers } } } },
    async (request) => {
      const { tenant } = await callerOf(context, request);
      const names = await poolNamesOf(tenant);
      const shown: ReturnType<typeof poolMemberOf>[] = [];
      for await (const ip of eachByAddress(tenant)) if (isAssigned(ip)) shown.push(poolMemberOf(ip, names));
      return shown;
    },
  );

  app.get(
    '/v3/ips/remaining',
    { config: { docs: { summary: 'How many IPs can be added', answers: { 200: RemainingIps } } } },
    async (request) => {
      const { tenant } = await callerOf(context, request);
      return {
        results: [{ remaining: await countFree(tenant.engine, 4), period: 'month', price_per_ip: 0 }],
      };
    },
  );

  app.get<{ Params: { ip_address: string } }>(
    '/v3/ips/:ip_address',
    {
      config: { docs: { summary: 'One IP of the account', params: OfIpAddress, answers: { 200: LegacyIp } } },
    },
    async (request) => {
      const { tenant } = await callerOf(context, request);
      const ip = await ipOr404(tenant, request.params.ip_address);
      return legacyIpOf(ip, await namesOf(tenant, [ip]));
    },
  );
}

async function listed(
  tenant: Tenant,
  { offset, limit, descending, address, subuser }: Listing,
): Promise<DedicatedIp[]> {
  const subuserId = subuser === undefined ? null : await subuserIdOf(tenant, subuser);
  if (subuserId === undefined) return [];
  if (address === undefined) return ipsByRank(tenant, { offset, limit, descending, subuserId });
  const [ip] = await ipsOfAddresses(tenant, [address]);
  return ip && offset === 0 && (subuserId === null || ip.subusers.includes(subuserId)) ? [ip] : [];
}

const subuserIdOf = async ({ engine, account }: Tenant, named: string): Promise<string | undefined> =>
  (await findSubusers(engine, account.id, [named])).found[0]?.id;

/** The inventory has no address left. */
export async function orNoneLeft<Result>(
  field: string | null,
  message: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw isRefused(error, 'exhausted') ? refuse(field, message) : error;
  }
}
