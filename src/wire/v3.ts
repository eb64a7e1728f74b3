/**
 * The v3 dialect (`/v3/ips`, `/v3/send_ips`) in JSON, as SendGrid writes it: snake case, instants in Unix seconds, IPs named by
 * address. Its sentences are part of the wire, down to the typographic quotes; unknown names are ignored.
 */
import { isIP, isIPv4 } from 'node:net';
import { z } from 'zod';
import { addressOfSortable } from '../warmup/address.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';

// ---- refusals

export type V3Error = { field: string | null; message: string; help?: null };

/** A request that this dialect refuses, in its words. */
export class V3Refusal extends Error {
  override readonly name = 'V3Refusal';
  readonly status: number;
  readonly body: { error?: string; errors: V3Error[] };

  constructor(status: number, errors: V3Error[], extra: { error?: string } = {}) {
    // Messages quote names that somebody gave; a line break in one must not become a second line of a log.
    const onOneLine = errors.map((one) => ({ ...one, message: one.message.replace(/\p{Cc}+/gu, ' ') }));
    super(onOneLine[0]!.message);
    this.status = status;
    this.body = { ...extra, errors: onOneLine };
  }
}

export const refuse = (field: string | null, message: string, status = 400) =>
  new V3Refusal(status, [{ field, message }]);

export const resourceNotFound = () => refuse(null, 'resource not found', 404);

const UNPARSEABLE = 'failed to parse the request body as a JSON payload';

/**
 * What the rest of the API answers, in the words of this dialect. It knows neither 409 nor 422: its clients have no names
 * for them.
 */
export function inWordsOfV3(
  path: string,
  { status, param, message }: { status: number; param: string | null; message: string },
  isUnreadable: boolean,
): { status: number; param: string | null; message: string } {
  const nowhere = path.startsWith('/v3/send_ips') ? '' : null;
  if (isUnreadable) return { status, param: '', message: UNPARSEABLE };
  switch (status) {
    case 404:
      return { status, param: nowhere, message: 'resource not found' };
    case 405:
      return { status, param: nowhere, message: 'method not allowed' };
    case 500:
      return { status, param: nowhere, message: 'internal server error' };
    case 409:
    case 422:
      return { status: 400, param: param ?? nowhere, message };
    default:
      return { status, param: param ?? nowhere, message };
  }
}

// ---- what clients ask for

/** @throws V3Refusal with the first mistake of each field */
export function readV3<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = new Map<string, V3Error>();
  for (const { path, message } of parsed.error.issues) {
    const field = String(path[0] ?? '');
    if (!errors.has(field)) errors.set(field, { field, message });
  }
  throw new V3Refusal(400, [...errors.values()]);
}

/** @throws V3Refusal when the body is no JSON object */
export function readV3Body<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw refuse('', UNPARSEABLE);
  return readV3(schema, body);
}

const MISSING = 'not found in the request body';
/** One sentence for what is missing, another for what is of another kind. */
const must = (sentence: string) => ({
  error: ({ input }: { input?: unknown }) => (input === undefined ? MISSING : sentence),
});

const flag = () => z.boolean(must('must be true or false'));
const textIn = () => z.string(must('must be a string'));

/** SendGrid counts 2 characters in the newer family; the older one takes a single one too. */
const poolName = (least: number) =>
  textIn().superRefine((name, context) => {
    const length = [...name].length;
    const message = /^[ .]/.test(name)
      ? 'cannot start with a dot or a space'
      : length < least || length > 64
        ? 'needs to be between 2 to 64 characters long'
        : null;
    if (message) context.addIssue({ code: 'custom', message });
  });

export const LegacyPoolBody = z.object({
  name: poolName(1).describe('1 to 64 characters, no dot or space first.'),
});
export const SendPoolNameBody = z.object({
  name: poolName(2).describe('2 to 64 characters, no dot or space first.'),
});

export const MOST_IPS_AT_ONCE = 100;
const BETWEEN = `the number of IPs must be between 1 and ${MOST_IPS_AT_ONCE}`;
const addresses = (least: number) =>
  z
    .array(z.string('must be a list of IP addresses'), must('must be a list of IP addresses'))
    .min(least, BETWEEN)
    .max(MOST_IPS_AT_ONCE, BETWEEN)
    .transform((given) => [...new Set(given)])
    .describe('IPv4 addresses of the account; each counts once.');

export const SendPoolBody = SendPoolNameBody.extend({
  ips: addresses(0)
    .nullish()
    .transform((ips) => ips ?? []),
});
export const SendPoolIpsBody = z.object({ ips: addresses(1) });

/** One IPv4 address, strictly dotted: no leading zeros, no range. */
const ipv4 = () => textIn().refine(isIPv4, 'invalid IP address').describe('An IPv4 address.');
export const IpBody = z.object({ ip: ipv4() });

const OF_ACCOUNT = z.string().describe('An IPv4 address of the account.');
const POOL_NAME = z.string().describe('The name of a pool, percent-encoded.');
/** The parts of paths, for the description of the API. */
export const OfIpAddress = z.object({ ip_address: OF_ACCOUNT });
export const OfIp = z.object({ ip: OF_ACCOUNT });
export const OfPoolName = z.object({ pool_name: POOL_NAME });
export const OfMember = z.object({ pool_name: POOL_NAME, ip: OF_ACCOUNT });
export const OfPoolId = z.object({ poolid: z.string().describe('The numeric id of a pool.') });

/** @throws V3Refusal on `field` */
export function checkIpv4(text: string, field = 'ip'): string {
  if (!isIPv4(text)) throw refuse(field, 'invalid IP address');
  return text;
}

const subusers = (most: number) =>
  z
    .array(
      z.union([z.string(), z.number().int().transform(String)], 'must be a list of ids'),
      must('must be a list of ids'),
    )
    .max(most, `cannot assign more than ${most} subusers per call`)
    .transform((given) => [...new Set(given)]);

const MOST_CREATED_AT_ONCE = 256;
const COUNT = `must be a whole number from 1 to ${MOST_CREATED_AT_ONCE}`;
export const AddLegacyIpsBody = z.object({
  count: z.number(must(COUNT)).int(COUNT).min(1, COUNT).max(MOST_CREATED_AT_ONCE, COUNT),
  subusers: subusers(100).optional(),
  warmup: flag().optional(),
  user_can_send: flag().optional(),
});

const REGIONS = ['us', 'eu'] as const;
const region = <const Values extends readonly string[]>(values: Values) =>
  z.enum(values, `must be one of the following: ${values.join(', ')}`);

export const AddSendIpBody = z.object({
  is_auto_warmup: flag().describe('The warm-up starts as soon as the IP is provisioned.'),
  is_parent_assigned: flag(),
  subusers: subusers(100).optional(),
  region: region(REGIONS).optional().describe('Unless given, the address that was free longest is taken.'),
  include_region: flag().optional(),
});

export const PatchSendIpBody = z
  .object({
    is_auto_warmup: flag().optional().describe('Enters or leaves the warm-up.'),
    is_parent_assigned: flag().optional(),
    is_enabled: flag().optional().describe('false holds sending.'),
  })
  .refine((body) => Object.values(body).some((value) => value !== undefined), {
    message: 'at least one of the following is required: is_enabled, is_auto_warmup, is_parent_assigned',
  });

export const SubusersBody = z.object({
  subusers: subusers(1_000).refine((ids) => ids.length > 0, 'must not be empty'),
});

const BOOLEAN = 'must be one of the following: true, false';
const flagText = () => z.enum(['true', 'false'], BOOLEAN).transform((text) => text === 'true');
const numericText = () => z.string('must be numeric').regex(/^\d{1,15}$/, 'must be numeric');
const limitText = (most: number, sentence: string) =>
  z
    .string(sentence)
    .regex(/^\d{1,9}$/, sentence)
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= most, sentence);

/** A cursor is an address, or its value as a number for clients that were typed by the documents. */
const addressKey = () =>
  z.string('invalid IP address').transform((text, context) => {
    if (isIP(text) !== 0 && !text.includes('%')) return text;
    if (/^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff) {
      return addressOfSortable(`4${Number(text).toString(16).padStart(8, '0')}`);
    }
    context.addIssue({ code: 'custom', message: 'invalid IP address' });
    return z.NEVER;
  });

export const ListSendIpsQuery = z
  .object({
    ip: z
      .string('invalid IP address')
      .refine(isIPv4, 'invalid IP address')
      .optional()
      .describe('Only this address.'),
    limit: limitText(5_000, 'should be > 0 and ≤ 5000')
      .optional()
      .describe('Most IPs on the page, up to 5000; unless given, 5000.'),
    after_key: addressKey().optional().describe('The page begins behind this address.'),
    before_key: addressKey().optional().describe('The page ends before this address.'),
    is_leased: flagText()
      .optional()
      .describe('Only addresses from the inventory (true), or only those that the account brought (false).'),
    is_enabled: flagText().optional().describe('Only IPs that are switched on, or off.'),
    is_parent_assigned: flagText()
      .optional()
      .describe('Only IPs that the parent account sends from, or does not.'),
    pool: numericText().optional().describe('Only IPs of the pool with this numeric id.'),
    start_added_at: numericText().optional().describe('Only IPs added at this Unix second or later.'),
    end_added_at: numericText().optional().describe('Only IPs added at this Unix second or earlier.'),
    region: region(['all', ...REGIONS])
      .optional()
      .describe('Only IPs of this region.'),
    include_region: flagText().optional().describe('Say the region of each IP.'),
  })
  .superRefine((query, context) => {
    const clash = (path: string, other: string) =>
      context.addIssue({ code: 'custom', path: [path], message: `cannot be used with ‘${other}’` });
    if (query.after_key !== undefined && query.before_key !== undefined) clash('after_key', 'before_key');
    if (query.pool !== undefined && query.is_parent_assigned !== undefined)
      clash('pool', 'is_parent_assigned');
  });

export const IncludeRegionQuery = z.object({
  include_region: flagText().optional().describe('Say the region too.'),
});

const POSITIVE = 'should be > 0 and ≤ 5000';
const NOT_NEGATIVE = 'must be a whole number, 0 or more';
export const ListLegacyIpsQuery = z.object({
  ip: z
    .string('invalid IP address')
    .refine(isIPv4, 'invalid IP address')
    .optional()
    .describe('Only this address.'),
  exclude_whitelabels: flagText().optional().describe('Leave the reverse DNS names out.'),
  limit: limitText(5_000, POSITIVE).default(10).describe('Most IPs in the list, up to 5000.'),
  offset: z
    .string(NOT_NEGATIVE)
    .regex(/^\d{1,9}$/, NOT_NEGATIVE)
    .transform(Number)
    .default(0)
    .describe('How many to leave out at the beginning.'),
  subuser: z.string('must be a string').optional().describe('Only IPs of this subuser.'),
  sort_by_direction: z
    .enum(['asc', 'desc'], 'must be one of the following: asc, desc')
    .default('asc')
    .describe('By address, up or down.'),
});

const pageLimit = () => limitText(100, 'should be > 0 and <= 100').default(100);
const numericKey = () =>
  z
    .string('must be a numeric value')
    .regex(/^-?\d{1,15}$/, 'must be a numeric value')
    .transform(Number)
    .refine((key) => key >= 0, 'must be >= 0');

export const ListSendPoolsQuery = z.object({
  limit: pageLimit().describe('Most pools on the page.'),
  after_key: numericKey().optional().describe('The page begins behind the pool with this id.'),
  ip: z
    .string('invalid IP address')
    .refine(isIPv4, 'invalid IP address')
    .optional()
    .describe('Only pools with this address.'),
  region: region(['all', ...REGIONS])
    .optional()
    .describe('Only pools with an IP of this region.'),
  include_region: flagText().optional().describe('Say the regions of each pool.'),
});
export const ListPoolIpsQuery = z.object({
  limit: pageLimit().describe('Most IPs on the page.'),
  after_key: addressKey().optional().describe('The page begins behind this address.'),
  include_region: flagText().optional().describe('Say the region of each IP.'),
});
export const ListSubusersQuery = z.object({
  limit: pageLimit().describe('Most subusers on the page.'),
  after_key: numericKey().optional().describe('The page begins behind the subuser with this id.'),
});

/** @throws V3Refusal: the id of a pool is a number */
export function checkPoolId(text: string, field = 'poolid'): number {
  if (!/^\d{1,15}$/.test(text)) throw refuse(field, 'must be a numeric value');
  return Number(text);
}

// ---- what they get

const seconds = (ms: number) => Math.floor(ms / 1000);
const unixSeconds = () => z.number().int().nonnegative();

export const WarmupEntry = z.strictObject({ ip: z.string(), start_date: unixSeconds() });
export const WarmupList = z.array(WarmupEntry);

export const warmupEntryOf = (ip: DedicatedIp) => ({
  ip: ip.address,
  start_date: seconds(ip.warmup?.startedAtMs ?? 0),
});

const startDateOf = (ip: DedicatedIp) =>
  ip.status === 'warming' && ip.warmup ? seconds(ip.warmup.startedAtMs) : null;

/** The names that an answer needs beside the record of an IP. */
export type Names = {
  pools: ReadonlyMap<string, { name: string; number: number }>;
  /** By id of the account. */
  subusers: ReadonlyMap<string, { name: string; number: number }>;
};

const poolNamesOf = (ip: DedicatedIp, { pools }: Pick<Names, 'pools'>) =>
  ip.pools.flatMap((id) => pools.get(id)?.name ?? []);
const subuserNamesOf = (ip: DedicatedIp, { subusers: known }: Pick<Names, 'subusers'>) =>
  ip.subusers.flatMap((id) => known.get(id)?.name ?? []);

export const PoolMember = z.strictObject({
  ip: z.string(),
  pools: z.array(z.string()),
  start_date: unixSeconds().nullable(),
  warmup: z.boolean(),
});
export const PoolMembers = z.array(PoolMember);

export const poolMemberOf = (ip: DedicatedIp, names: Pick<Names, 'pools'>) => ({
  ip: ip.address,
  pools: poolNamesOf(ip, names),
  start_date: startDateOf(ip),
  warmup: ip.status === 'warming',
});

export const PoolNameAnswer = z.strictObject({ name: z.string() });
export const PoolNames = z.array(PoolNameAnswer);
export const LegacyPool = z.strictObject({
  ips: z.union([
    z.array(z.string()),
    z.array(z.strictObject({ ip: z.string(), start_date: unixSeconds().nullable(), warmup: z.boolean() })),
  ]),
  pool_name: z.string(),
});

/** @param shape `objects` is what SendGrid really answers, `strings` what it documents; a key says which its client reads */
export const legacyPoolOf = (name: string, ips: readonly DedicatedIp[], shape: 'strings' | 'objects') => ({
  ips:
    shape === 'strings'
      ? ips.map(({ address }) => address)
      : ips.map((ip) => ({ ip: ip.address, start_date: startDateOf(ip), warmup: ip.status === 'warming' })),
  pool_name: name,
});

const legacyIpFields = {
  ip: z.string(),
  subusers: z.array(z.string()),
  pools: z.array(z.string()),
  warmup: z.boolean(),
  start_date: unixSeconds().nullable(),
  whitelabeled: z.boolean(),
};
export const LegacyIp = z.strictObject({ ...legacyIpFields, rdns: z.string() });
export const LegacyIps = z.array(
  z.strictObject({ ...legacyIpFields, rdns: z.string().optional(), assigned_at: unixSeconds().nullable() }),
);
export const LegacyIpsAdded = z.strictObject({
  ips: z.array(z.strictObject({ ip: z.string(), subusers: z.array(z.string()) })),
  remaining_ips: z.number().int().nonnegative(),
  warmup: z.boolean(),
});
export const RemainingIps = z.strictObject({
  results: z.array(
    z.strictObject({
      remaining: z.number().int().nonnegative(),
      period: z.string(),
      price_per_ip: z.number(),
    }),
  ),
});

const legacyFieldsOf = (ip: DedicatedIp, names: Names) => ({
  ip: ip.address,
  subusers: subuserNamesOf(ip, names),
  pools: poolNamesOf(ip, names),
  warmup: ip.status === 'warming',
  start_date: startDateOf(ip),
  whitelabeled: ip.whitelabeled,
});

/** Assigned is an IP that somebody may send from: the parent, or a subuser. */
export const isAssigned = (ip: DedicatedIp) => ip.parentAssigned || ip.subusers.length > 0;

export const legacyIpOf = (ip: DedicatedIp, names: Names) => ({
  ...legacyFieldsOf(ip, names),
  rdns: ip.hostname ?? '',
});

export const legacyListedIpOf = (ip: DedicatedIp, names: Names, { withRdns }: { withRdns: boolean }) => ({
  ...legacyFieldsOf(ip, names),
  ...(withRdns && ip.hostname !== null ? { rdns: ip.hostname } : {}),
  assigned_at: isAssigned(ip) ? seconds(ip.createdAtMs) : null,
});

const PoolRef = z.strictObject({ name: z.string(), id: z.string() });
const sendIpShape = z.strictObject({
  ip: z.string(),
  pools: z.array(PoolRef),
  is_auto_warmup: z.boolean(),
  is_parent_assigned: z.boolean().optional(),
  updated_at: unixSeconds().nullable(),
  is_enabled: z.boolean().nullable(),
  is_leased: z.boolean(),
  added_at: unixSeconds(),
  region: z.string().optional(),
});
export const SendIp = sendIpShape;
const key = z.string().nullable();
export const SendIps = z.strictObject({
  result: z.array(sendIpShape),
  _metadata: z.strictObject({
    after_key: key,
    before_key: key,
    next_params: z.strictObject({ after_key: key, before_key: key }),
    ip: z.string().optional(),
    limit: z.string().optional(),
    pool: z.string().optional(),
    start_added_at: z.string().optional(),
    end_added_at: z.string().optional(),
    region: z.string().optional(),
    include_region: z.string().optional(),
    is_leased: z.boolean().optional(),
    is_enabled: z.boolean().optional(),
    is_parent_assigned: z.boolean().optional(),
  }),
});

/** SendGrid's regions are two, and one of them is what an address is in unless somebody says otherwise. */
export const regionOf = (ip: Pick<DedicatedIp, 'region'>) => ip.region ?? 'us';

/** It warms up, or will as soon as it is provisioned. */
export const isAutoWarmup = (ip: DedicatedIp) =>
  ip.status === 'warming' || (ip.status === 'provisioning' && ip.autoWarmup);

const isDisabled = (ip: DedicatedIp) => ip.holds.some(({ scope }) => scope === 'v3');

/** Of an address from the inventory it is null as long as it is not switched off. */
export const isEnabled = (ip: DedicatedIp) => (isDisabled(ip) ? false : ip.leased ? null : true);

const poolRefsOf = (ip: DedicatedIp, { pools }: Pick<Names, 'pools'>) =>
  ip.pools.flatMap((id) => {
    const pool = pools.get(id);
    return pool ? [{ name: pool.name, id: String(pool.number) }] : [];
  });

export const sendIpOf = (
  ip: DedicatedIp,
  names: Pick<Names, 'pools'>,
  { includeRegion = false, toSubuser = false },
) => ({
  ip: ip.address,
  pools: poolRefsOf(ip, names),
  is_auto_warmup: isAutoWarmup(ip),
  ...(toSubuser ? {} : { is_parent_assigned: ip.parentAssigned }),
  updated_at: seconds(ip.updatedAtMs),
  is_enabled: isEnabled(ip),
  is_leased: ip.leased,
  added_at: seconds(ip.createdAtMs),
  ...(includeRegion ? { region: regionOf(ip) } : {}),
});

/** Where the next page begins, in both places in which clients look for it, and what was asked. */
export function sendIpsMetadata(
  keys: { afterKey: string | null; beforeKey: string | null },
  query: z.output<typeof ListSendIpsQuery>,
) {
  const { is_leased, is_enabled, is_parent_assigned, ip, limit, pool, region: asked } = query;
  const { start_added_at, end_added_at, include_region } = query;
  const texts = { ip, limit, pool, start_added_at, end_added_at, region: asked, include_region };
  const cursor = { after_key: keys.afterKey, before_key: keys.beforeKey };
  return {
    ...cursor,
    next_params: cursor,
    ...Object.fromEntries(
      Object.entries(texts).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
    ),
    ...Object.fromEntries(
      Object.entries({ is_leased, is_enabled, is_parent_assigned }).filter(
        ([, value]) => value !== undefined,
      ),
    ),
  };
}

export const SendIpAdded = z.strictObject({
  ip: z.string(),
  is_auto_warmup: z.boolean(),
  is_parent_assigned: z.boolean(),
  subusers: z.array(z.string()),
  region: z.string().optional(),
});
export const SendIpPatched = z.strictObject({
  ip: z.string(),
  is_auto_warmup: z.boolean(),
  is_parent_assigned: z.boolean().optional(),
  is_enabled: z.boolean().optional(),
});

const nextParams = z.strictObject({ after_key: key });
export const SubuserIds = z.strictObject({
  result: z.array(z.string()),
  _metadata: z.strictObject({ next_params: nextParams }),
});
export const SubusersOfIp = z.strictObject({ ip: z.string(), subusers: z.array(z.string()) });

/** The numeric ids of the subusers of an IP, ascending. */
export const subuserNumbersOf = (ip: DedicatedIp, { subusers: known }: Pick<Names, 'subusers'>) =>
  ip.subusers.flatMap((id) => known.get(id)?.number ?? []).sort((a, b) => a - b);

export const SendPoolName = z.strictObject({ name: z.string(), id: z.string() });
export const SendPoolWithIps = SendPoolName.extend({ ips: z.array(z.string()) });
const previewFields = {
  name: z.string(),
  id: z.string(),
  ips_preview: z.array(z.string()).max(10),
  total_ip_count: z.number().int().nonnegative(),
};
export const SendPool = z.strictObject({
  ...previewFields,
  ip_count_by_region: z
    .array(z.strictObject({ region: z.string(), count: z.number().int().positive() }))
    .optional(),
});
export const SendPools = z.strictObject({
  result: z.array(z.strictObject({ ...previewFields, regions: z.array(z.string()).optional() })),
  _metadata: z.strictObject({ after_key: key, next_params: nextParams }),
});
export const SendPoolIps = z.strictObject({
  result: z.array(z.strictObject({ ip: z.string(), pools: z.array(PoolRef), region: z.string().optional() })),
  _metadata: z.strictObject({ next_params: nextParams }),
});

const MOST_SHOWN = 10;

/** A pool with the first of its IPs, in the order in which they joined. */
export const sendPoolOf = (pool: { name: string; number: number }, members: readonly DedicatedIp[]) => ({
  name: pool.name,
  id: String(pool.number),
  ips_preview: members.slice(0, MOST_SHOWN).map(({ address }) => address),
  total_ip_count: members.length,
});

export function countByRegion(members: readonly DedicatedIp[]) {
  const counts = new Map<string, number>();
  for (const ip of members) counts.set(regionOf(ip), (counts.get(regionOf(ip)) ?? 0) + 1);
  return [...counts]
    .map(([name, count]) => ({ region: name, count }))
    .sort((a, b) => (a.region < b.region ? -1 : 1));
}

export const sendPoolIpOf = (ip: DedicatedIp, names: Pick<Names, 'pools'>, { includeRegion = false }) => ({
  ip: ip.address,
  pools: poolRefsOf(ip, names),
  ...(includeRegion ? { region: regionOf(ip) } : {}),
});
