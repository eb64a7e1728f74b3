/** `/v3/send_ips/ips`: the same IPs in the newer family, with cursors, filters and subusers. It never answers 404. */
import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import { type AddressPage, ipsOfAddresses, pageByAddress } from '../../fleet/by-address.ts';
import { loadIps } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { createIps } from '../../fleet/inventory.ts';
import { changeSubusers, updateIpOfV3 } from '../../fleet/ips.ts';
import { getPool, membersOf } from '../../fleet/pools.ts';
import { findSubusers } from '../../fleet/subusers.ts';
import { sortableAddress } from '../../warmup/address.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import {
  AddSendIpBody,
  checkIpv4,
  IncludeRegionQuery,
  isAutoWarmup,
  isEnabled,
  ListSendIpsQuery,
  ListSubusersQuery,
  OfIp,
  PatchSendIpBody,
  readV3,
  readV3Body,
  refuse,
  regionOf,
  SendIp,
  SendIpAdded,
  SendIpPatched,
  SendIps,
  SubuserIds,
  SubusersBody,
  SubusersOfIp,
  sendIpOf,
  sendIpsMetadata,
  subuserNumbersOf,
} from '../../wire/v3.ts';
import type { Context } from '../context.ts';
import { callerOf, namesOf, poolNamesOf, type V3Caller } from './caller.ts';
import { orNoneLeft } from './ips.ts';
import { isRefused } from './refusals.ts';

type OneIp = { Params: { ip: string } };
type Query = z.output<typeof ListSendIpsQuery>;

const MOST_PER_PAGE = 5_000;

export function registerSendIps(app: FastifyInstance, context: Context): void {
  app.get(
    '/v3/send_ips/ips',
    {
      config: {
        docs: {
          summary: 'The IPs of the account, page by page in the order of their addresses',
          description: 'With filters a page may be short, or empty, and carry a cursor all the same.',
          query: ListSendIpsQuery,
          answers: { 200: SendIps },
        },
      },
    },
    async (request) => {
      const query = readV3(ListSendIpsQuery, request.query);
      const { tenant, account } = await callerOf(context, request);
      const toSubuser = account.parentId !== null;
      if (toSubuser && query.is_parent_assigned !== undefined) {
        throw refuse('is_parent_assigned', 'cannot be used for a sub user account');
      }
      const [page, names] = await Promise.all([pageFor(tenant, query), poolNamesOf(tenant)]);
      const includeRegion = query.include_region === true;
      return {
        result: page.ips.map((ip) => sendIpOf(ip, names, { includeRegion, toSubuser })),
        _metadata: sendIpsMetadata(page, query),
      };
    },
  );

  app.post(
    '/v3/send_ips/ips',
    {
      config: {
        docs: {
          summary: 'Take an IP from the inventory',
          body: AddSendIpBody,
          answers: { 201: SendIpAdded },
          example: { is_auto_warmup: true, is_parent_assigned: true },
        },
      },
    },
    async (request, reply) => {
      const body = readV3Body(AddSendIpBody, request.body);
      const caller = await callerOf(context, request);
      const subusers = body.subusers ? await verified(caller, body.subusers) : [];
      const ips = await orNoneLeft('', 'No IPs remaining', () =>
        createIps(caller.tenant, {
          family: 4,
          count: 1,
          autoWarmup: body.is_auto_warmup,
          parentAssigned: body.is_parent_assigned,
          subusers: subusers.map(({ id }) => id),
          // An address that nobody gave a region is one of `us`, as everywhere in this dialect.
          regions: body.region && (body.region === 'us' ? ['us', ''] : [body.region]),
        }),
      );
      const ip = ips[0]!;
      return reply.code(201).send({
        ip: ip.address,
        is_auto_warmup: body.is_auto_warmup,
        is_parent_assigned: ip.parentAssigned,
        subusers: subusers.map(({ number }) => String(number)),
        ...(body.include_region ? { region: regionOf(ip) } : {}),
      });
    },
  );

  app.get<OneIp>(
    '/v3/send_ips/ips/:ip',
    {
      config: {
        docs: {
          summary: 'One IP of the account',
          query: IncludeRegionQuery,
          params: OfIp,
          answers: { 200: SendIp },
        },
      },
    },
    async (request) => {
      const { include_region } = readV3(IncludeRegionQuery, request.query);
      const { tenant, account } = await callerOf(context, request);
      const ip = await ipOr400(tenant, request.params.ip, NOT_FOUND);
      const names = await poolNamesOf(tenant);
      return sendIpOf(ip, names, {
        includeRegion: include_region === true,
        toSubuser: account.parentId !== null,
      });
    },
  );

  app.patch<OneIp>(
    '/v3/send_ips/ips/:ip',
    {
      config: {
        docs: {
          summary: 'Put an IP into warm-up or out of it, switch it off or on',
          body: PatchSendIpBody,
          params: OfIp,
          answers: { 200: SendIpPatched },
          example: { is_auto_warmup: true },
        },
      },
    },
    async (request) => {
      checkIpv4(request.params.ip);
      const body = readV3Body(PatchSendIpBody, request.body);
      const { tenant } = await callerOf(context, request);
      const found = await ipOr400(tenant, request.params.ip, NOT_OWNED);
      const changes = {
        autoWarmup: body.is_auto_warmup,
        parentAssigned: body.is_parent_assigned,
        enabled: body.is_enabled,
      };
      const ip = await orRefused(NOT_OWNED, () => updateIpOfV3(tenant, found.id, changes));
      const enabled = body.is_enabled ?? isEnabled(ip);
      return {
        ip: ip.address,
        is_auto_warmup: isAutoWarmup(ip),
        is_parent_assigned: ip.parentAssigned,
        ...(enabled === null ? {} : { is_enabled: enabled }),
      };
    },
  );

  app.get<OneIp>(
    '/v3/send_ips/ips/:ip/subusers',
    {
      config: {
        docs: {
          summary: 'The subusers of an IP',
          query: ListSubusersQuery,
          params: OfIp,
          answers: { 200: SubuserIds },
        },
      },
    },
    async (request) => {
      const { limit, after_key = -1 } = readV3(ListSubusersQuery, request.query);
      const { tenant } = await callerOf(context, request);
      checkIpv4(request.params.ip, '');
      const ip = await ipOr400(tenant, request.params.ip, NOT_FOUND);
      const rest = subuserNumbersOf(ip, await namesOf(tenant, [ip])).filter((number) => number > after_key);
      const shown = rest.slice(0, limit).map(String);
      const after = rest.length > limit ? shown.at(-1)! : null;
      return { result: shown, _metadata: { next_params: { after_key: after } } };
    },
  );

  app.post<OneIp>(
    '/v3/send_ips/ips/:ip/subusers::batchAdd',
    {
      config: {
        docs: {
          summary: 'Give an IP to subusers: a label, and no right to send',
          body: SubusersBody,
          params: OfIp,
          answers: { 200: SubusersOfIp },
          example: { subusers: ['12345'] },
        },
      },
    },
    async (request) => {
      checkIpv4(request.params.ip, '');
      const { subusers } = readV3Body(SubusersBody, request.body);
      const caller = await callerOf(context, request);
      const { tenant } = caller;
      const found = await ipOr400(tenant, request.params.ip, NOT_FOUND);
      const add = (await verified(caller, subusers)).map(({ id }) => id);
      const ip = await orRefused(NOT_FOUND, () => changeSubusers(tenant, found.id, { add }));
      return { ip: ip.address, subusers: subuserNumbersOf(ip, await namesOf(tenant, [ip])).map(String) };
    },
  );

  app.post<OneIp>(
    '/v3/send_ips/ips/:ip/subusers::batchDelete',
    {
      config: {
        docs: {
          summary: 'Take an IP from subusers',
          body: SubusersBody,
          params: OfIp,
          answers: { 204: null },
          example: { subusers: ['12345'] },
        },
      },
    },
    async (request, reply) => {
      checkIpv4(request.params.ip, '');
      const { subusers } = readV3Body(SubusersBody, request.body);
      const caller = await callerOf(context, request);
      const { tenant } = caller;
      const found = await ipOr400(tenant, request.params.ip, NOT_FOUND);
      const accounts = await verified(caller, subusers);
      const strangers = accounts.filter(({ id }) => !found.subusers.includes(id));
      if (strangers.length > 0) throw unverified(strangers.map(({ number }) => String(number)));
      const remove = accounts.map(({ id }) => id);
      await orRefused(NOT_FOUND, () => changeSubusers(tenant, found.id, { remove }));
      return reply.code(204).send();
    },
  );
}

const NOT_FOUND = 'not found';
const NOT_OWNED = 'unable to verify IP ownership';

async function ipOr400(tenant: Tenant, address: string, message: string): Promise<DedicatedIp> {
  const [ip] = await ipsOfAddresses(tenant, [checkIpv4(address)]);
  if (!ip) throw refuse('ip', message);
  return ip;
}

/** It was released just now. */
async function orRefused<Result>(message: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw isRefused(error, 'not_found', 'conflict') ? refuse('ip', message) : error;
  }
}

/** The subusers that are named by number or name. @throws V3Refusal when one is none of this account */
async function verified({ tenant, account }: V3Caller, named: readonly string[]) {
  if (named.some((one) => one === String(account.number) || one === account.name)) {
    throw refuse('subusers', 'cannot contain caller’s userID');
  }
  const { found, unknown } = await findSubusers(tenant.engine, account.id, named);
  if (unknown.length > 0) throw unverified(unknown);
  return found;
}

/** No subuser has a longer name: what is longer is quoted by its beginning. */
const LONGEST_NAME = 64;

const unverified = (named: readonly string[]) =>
  refuse('subusers', `unverified subusers: ${named.map(beginningOf).join(', ')}`);

const beginningOf = (name: string) =>
  name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME - 1)}…`;

async function pageFor(tenant: Tenant, query: Query): Promise<AddressPage> {
  const { after_key: after = null, before_key: before = null, limit = MOST_PER_PAGE } = query;
  if (query.pool !== undefined) {
    const pool = await getPool(tenant, Number(query.pool)).catch((error: unknown) => {
      throw isRefused(error, 'not_found') ? refuse('pool', 'not found') : error;
    });
    const members = await loadIps(tenant, await membersOf(tenant, pool.id));
    return pageOf(members.filter(filterOf(query)), { after, before, limit });
  }
  if (query.ip !== undefined) {
    const ips = await ipsOfAddresses(tenant, [query.ip]);
    return pageOf(ips.filter((ip) => ip !== null).filter(filterOf(query)), { after, before, limit });
  }
  return pageByAddress(tenant, { limit, after, before, wanted: filterOf(query) });
}

function filterOf(query: Query): (ip: DedicatedIp) => boolean {
  const { is_leased, is_enabled, is_parent_assigned, region, ip: address } = query;
  const fromS = Number(query.start_added_at ?? 0);
  const toS = Number(query.end_added_at ?? Number.MAX_SAFE_INTEGER);
  return (ip) => {
    const addedS = Math.floor(ip.createdAtMs / 1000);
    return (
      (address === undefined || ip.address === address) &&
      (is_leased === undefined || ip.leased === is_leased) &&
      (is_enabled === undefined || (isEnabled(ip) ?? true) === is_enabled) &&
      (is_parent_assigned === undefined || ip.parentAssigned === is_parent_assigned) &&
      (region === undefined || region === 'all' || regionOf(ip) === region) &&
      addedS >= fromS &&
      addedS <= toS
    );
  };
}

/** A page of IPs that are few enough to be at hand. */
export function pageOf(
  ips: readonly DedicatedIp[],
  { after, before, limit }: { after: string | null; before: string | null; limit: number },
): AddressPage {
  const sorted = ips
    .map((ip) => ({ ip, place: sortableAddress(ip.address) }))
    .sort((a, b) => (a.place < b.place ? -1 : 1));
  const from = after === null ? 0 : sorted.findIndex(({ place }) => place > sortableAddress(after));
  const behind = before === null ? -1 : sorted.findIndex(({ place }) => place >= sortableAddress(before));
  const end = behind === -1 ? sorted.length : behind;
  const first = before === null ? (from === -1 ? sorted.length : from) : Math.max(0, end - limit);
  const shown = sorted.slice(first, Math.min(end, first + limit)).map(({ ip }) => ip);
  const hasMore = first + shown.length < sorted.length;
  return {
    ips: shown,
    afterKey: hasMore ? (shown.at(-1)?.address ?? null) : null,
    beforeKey: first > 0 ? (shown[0]?.address ?? null) : null,
  };
}
