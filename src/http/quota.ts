/**
 * The hot path over HTTP, for senders that do not speak Redis: take and refund. A receipt that goes out is signed, and only
 * what comes back with its signature is credited, since a key that may send must not be able to invent refunds.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import { getIp } from '../fleet/ips.ts';
import { getPool, membersOf } from '../fleet/pools.ts';
import type { BecauseCode, TakeAnswer } from '../redis/limiter.ts';
import { invalid } from '../warmup/errors.ts';
import { instant, parse } from '../wire/parse.ts';
import {
  IpQuotaShape,
  ipQuotaOf,
  type PoolQuota,
  PoolQuotaShape,
  REFUND_BODY,
  RefundAnswerShape,
  sumOf,
  TAKE_BODY,
  TakeAnswerShape,
  takeRequestOf,
} from '../wire/quota.ts';
import type { Context } from './context.ts';
import type { RouteDocs } from './openapi.ts';
import { ipNamed } from './v1/named.ts';

const TAKE: RouteDocs = {
  summary: 'Take sends before sending them',
  description:
    'One send is one recipient. The count may be spread over several IPs of the pool; all or nothing unless `partial`.',
  id: 'takeQuota',
  body: TAKE_BODY,
  answers: { 200: TakeAnswerShape },
  refusals: [404],
  example: { pool: 'Transactional', count: 3 },
};
const REFUND: RouteDocs = {
  summary: 'Give back what was taken and not sent',
  description:
    'A receipt is credited at most once: to the day in the same day, to the hour in the same hour.',
  id: 'refundQuota',
  body: REFUND_BODY,
  answers: { 200: RefundAnswerShape },
  example: { refunds: [{ receipt: '...', count: 1 }] },
};
const PEEK_IP: RouteDocs = {
  summary: 'What an IP may send now; looking takes nothing',
  id: 'getDedicatedIpQuota',
  answers: { 200: IpQuotaShape },
};
const PEEK_POOL: RouteDocs = {
  summary: 'What a pool may send now; looking takes nothing',
  id: 'getPoolQuota',
  answers: { 200: PoolQuotaShape },
};

export function registerQuota(
  app: FastifyInstance,
  { receiptSecret, callerOf, tenantOf, limiterOf, countedFor }: Context,
): void {
  const sends = { scope: 'send', quiet: true } as const;

  app.post('/v1/quota/take', { config: { ...sends, docs: TAKE } }, async (request) => {
    const asked = takeRequestOf(parse(TAKE_BODY, request.body));
    const { account } = callerOf(request);
    const sign = signerOf(receiptSecret, account.id);
    const answer = await limiterOf(account).take(asked);
    return {
      ...onTheWire(answer),
      granted: answer.granted.map((grant) => ({ ...grant, receipt: sign(grant.receipt) })),
    };
  });

  app.post('/v1/quota/refund', { config: { ...sends, docs: REFUND } }, async (request) => {
    const { refunds } = parse(REFUND_BODY, request.body);
    const { account } = callerOf(request);
    const sign = signerOf(receiptSecret, account.id);
    const verified = refunds.map(({ receipt, count }, index) => {
      const bare = receipt.slice(0, Math.max(0, receipt.lastIndexOf('.')));
      if (!same(sign(bare), receipt)) {
        throw invalid(
          `refunds.${index}.receipt`,
          'the receipt was not given to this account; give back the string that a take granted',
        );
      }
      return { receipt: bare, count };
    });
    return limiterOf(account).refund(verified);
  });

  app.get<{ Params: { id: string } }>(
    '/v1/dedicated-ips/:id/quota',
    { config: { docs: PEEK_IP } },
    async (request) => {
      const tenant = tenantOf(request);
      const ip = await getIp(tenant, ipNamed(request.params.id));
      return ipQuotaOf(ip, await countedFor(tenant, ip));
    },
  );

  app.get<{ Params: { poolId: string } }>(
    '/v1/dedicated-ips/pools/:poolId/quota',
    { config: { docs: PEEK_POOL } },
    async (request): Promise<PoolQuota> => {
      const tenant = tenantOf(request);
      const { id, name } = await getPool(tenant, request.params.poolId);
      const members = await membersOf(tenant, id);
      const [next, ...ips] = await Promise.all([
        limiterOf(tenant.account).peek({ pool: id }),
        ...members.map(async (member) => {
          const ip = await getIp(tenant, member);
          return ipQuotaOf(ip, await countedFor(tenant, ip));
        }),
      ]);
      const { allowed, retryAfterMs, resetAfterMs, because } = onTheWire(next);
      return { poolId: id, name, allowed, retryAfterMs, resetAfterMs, because, ...sumOf(ips), ips };
    },
  );
}

function onTheWire({ because, ...answer }: TakeAnswer): z.output<typeof TakeAnswerShape> {
  if (!because) return { ...answer, because };
  const { until } = because;
  // `unreachable` is a word of senders for themselves: whoever answers here has reached Redis.
  const code = because.code as Exclude<BecauseCode, 'unreachable'>;
  return { ...answer, because: { ...because, code, until: until && instant(Date.parse(until)) } };
}

/** Compares in a time that tells nothing about how much of a forged receipt was right. */
function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** 128 bits: a forger with a million tries a second would need longer than the universe has been there. */
const SIGNATURE_BYTES = 16;

/** Bound to the account, so that one cannot hand in what another was granted. */
function signerOf(secret: string, accountId: string) {
  return (receipt: string) => {
    const signature = createHmac('sha256', secret).update(`${accountId}\n${receipt}`).digest();
    return `${receipt}.${signature.subarray(0, SIGNATURE_BYTES).toString('base64url')}`;
  };
}
