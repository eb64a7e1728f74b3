/** Why is my mail held? The limiter's own account of one take. Nothing is taken by asking. */
import type { FastifyInstance } from 'fastify';
import { explain } from '../fleet/explain.ts';
import { EXPLAIN_BODY, ExplainAnswerShape, explainAnswerOf, readExplain } from '../wire/explain.ts';
import type { Context } from './context.ts';
import type { RouteDocs } from './openapi.ts';
import { onTheWire } from './quota.ts';
import { takeTurns } from './turns.ts';

const EXPLAIN: RouteDocs = {
  summary: 'Why a take is answered as it is; asking takes nothing',
  description:
    'The same request as a take. Every IP that it considers, in the order of choice: its limits, what is used and left of them, which one binds, and the earliest time at which it has room. Computed by the code that decides on takes.',
  id: 'explainQuota',
  body: EXPLAIN_BODY,
  answers: { 200: ExplainAnswerShape },
  refusals: [404],
  example: { pool: 'Transactional', count: 3 },
};

export function registerExplain(app: FastifyInstance, { tenantOf, limiterOf }: Context): void {
  // The worst of them, among ten thousand IPs whose hour has just turned, takes a quarter of a second of Redis, in a hundred calls.
  const inTurn = takeTurns('explanations', { atOnce: 1, inLine: 20 });
  app.post('/v1/quota/explain', { config: { scope: 'read', docs: EXPLAIN } }, async (request) => {
    const asked = readExplain(request.body);
    const tenant = tenantOf(request);
    const { answer, explanation } = await inTurn(() => explain(tenant, limiterOf(tenant.account), asked));
    return explainAnswerOf(explanation, onTheWire(answer));
  });
}
