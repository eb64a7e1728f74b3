/** The hot path over HTTP, for senders that do not speak Redis: take, alone or many at once, and refund; and looks. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { getIp } from '../fleet/ips.ts';
import { getPool, membersOf } from '../fleet/pools.ts';
import type { BecauseCode, TakeAnswer } from '../redis/answer.ts';
import type { Limiter } from '../redis/limiter.ts';
import { invalid, WarmlineError } from '../warmup/errors.ts';
import { parse } from '../wire/parse.ts';
import {
  type AskedTake,
  IpQuotaShape,
  ipQuotaOf,
  type PoolQuota,
  PoolQuotaShape,
  REFUND_BODY,
  RefundAnswerShape,
  readTakes,
  sumOf,
  TAKE_ANSWER,
  TAKE_BODY,
  type TakeAnswerShape,
} from '../wire/quota.ts';
import type { Context } from './context.ts';
import { answerTo, bodyOf, HttpProblem } from './errors.ts';
import type { CountedTakes, TakeCounts } from './metrics.ts';
import type { RouteDocs } from './openapi.ts';
import { textSchemaOf } from './text-schema.ts';
import { ipNamed } from './v1/named.ts';

const TAKE_PATH = '/v1/quota/take';
const TAKE: RouteDocs = {
  summary: 'Take sends before sending them',
  description:
    'One send is one recipient. The count may be spread over several IPs of the pool; all or nothing unless `partial`. Many takes go in one request as `takes`: each is granted or denied by itself and answered in its place; what is not valid refuses them all, and nothing is taken.',
  id: 'takeQuota',
  body: TAKE_BODY,
  answers: { 200: TAKE_ANSWER },
  refusals: [404],
  example: { pool: 'Transactional', count: 3 },
};
/** Addresses, ids and receipts are made of letters that JSON writes as they are. */
const TAKE_ANSWER_TEXT = textSchemaOf(TAKE_ANSWER, ['ip', 'ipId', 'receipt']);
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

/** Asked before every send, so they are registered where no more is done for a request than must be. */
export function registerTakes(
  app: FastifyInstance,
  { engine, receiptsOf, callerOf, limiterOf }: Context,
  log: Logger,
  counts: TakeCounts,
): void {
  const sends = { scope: 'send', quiet: true } as const;

  // Where Redis is away nobody knows whose key it is, and a take fails before it is one.
  app.addHook('onError', (request, _reply, error, done) => {
    if (!request.caller && !(error instanceof HttpProblem) && request.routeOptions.url === TAKE_PATH)
      counts.of(null).add(error);
    done();
  });

  /** What one of many is refused for, as it would be told alone. */
  function refusalOf(error: Error, request: FastifyRequest) {
    if (isOut(error)) log.error({ requestId: request.id, err: error }, 'one take of many failed');
    return bodyOf(answerTo(error, request, engine));
  }

  app.post(
    TAKE_PATH,
    { config: { ...sends, docs: TAKE }, schema: { response: { 200: TAKE_ANSWER_TEXT } } },
    (request) => {
      const asked = readTakes(request.body);
      const { account } = callerOf(request);
      const limiter = limiterOf(account);
      const { sign } = receiptsOf(account.id);
      const counted = counts.of(account);
      if (!Array.isArray(asked)) {
        return limiter.take(asked).then(
          (answer) => {
            counted.add(answer);
            return onTheWire(signed(answer, sign));
          },
          (error: Error) => {
            counted.add(error);
            throw error;
          },
        );
      }
      return takeAll(limiter, asked, counted).then((answers) => ({
        answers: answers.map((answer) => {
          if (answer instanceof Error) return refusalOf(answer, request);
          return onTheWire(signed(answer, sign));
        }),
      }));
    },
  );

  app.post('/v1/quota/refund', { config: { ...sends, docs: REFUND } }, async (request) => {
    const { refunds } = parse(REFUND_BODY, request.body);
    const { account } = callerOf(request);
    const { verify } = receiptsOf(account.id);
    const verified = refunds.map(({ receipt: signed, count }, index) => {
      const receipt = verify(signed);
      if (receipt === null) {
        throw invalid(
          `refunds.${index}.receipt`,
          'the receipt was not given to this account; give back the string that a take granted',
        );
      }
      return { receipt, count };
    });
    return limiterOf(account).refund(verified);
  });
}

/**
 * All in one turn of the event loop, so that they reach Redis as one script call. What one of them is refused for is its
 * answer, since the others may have been granted. @throws what befell them all
 */
async function takeAll(
  limiter: Limiter,
  asked: readonly AskedTake[],
  counted: CountedTakes,
): Promise<(TakeAnswer | Error)[]> {
  const answers = await limiter.takeAll(asked);
  for (const answer of answers) counted.add(answer);
  if (answers.every(isOut)) throw answers[0];
  return answers;
}

const isOut = (answer: unknown) => answer instanceof Error && !(answer instanceof WarmlineError);

export function registerQuotas(app: FastifyInstance, { tenantOf, limiterOf, countedFor }: Context): void {
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

/** The limiter made the answer for us alone, so it is written into rather than copied; here and below. */
function signed(answer: TakeAnswer, sign: (receipt: string) => string): TakeAnswer {
  for (const grant of answer.granted) grant.receipt = sign(grant.receipt);
  return answer;
}

export function onTheWire(answer: TakeAnswer): z.output<typeof TakeAnswerShape> {
  const { because } = answer;
  if (because?.until) because.until = because.until.replace('.000Z', 'Z');
  // `unreachable` is a word of senders for themselves: whoever answers here has reached Redis.
  return answer as TakeAnswer & { because: { code: Exclude<BecauseCode, 'unreachable'> } | null };
}
