/** The account's stream: who changed what, from what to what, and why. To be read from the last change that one has seen. */
import type { FastifyInstance } from 'fastify';
import { readChanges } from '../fleet/changes.ts';
import { parseQuery } from '../wire/parse.ts';
import { ChangePage } from '../wire/shapes.ts';
import { ChangesQuery, keptChangeOf, page } from '../wire/v1.ts';
import type { Context } from './context.ts';
import type { RouteDocs } from './openapi.ts';

const LIST: RouteDocs = {
  summary: 'Everything that changed in the account, oldest first',
  description:
    'Status, holds, plans, limits, pools and owners. To follow the account, give the id of the last change that you have seen as `since`.',
  id: 'listChanges',
  query: ChangesQuery,
  answers: { 200: ChangePage },
};

export function registerChanges(app: FastifyInstance, { tenantOf }: Context): void {
  app.get('/v1/changes', { config: { docs: LIST } }, async (request) => {
    const { since, cursor, limit } = parseQuery(ChangesQuery, request.query);
    const { changes, last, gap } = await readChanges(tenantOf(request), {
      // A cursor stands behind the place where the reading began.
      after: cursor ?? (typeof since === 'string' ? since : null),
      fromMs: typeof since === 'number' ? since : null,
      limit,
    });
    return { ...page(changes.map(keptChangeOf), last), gap };
  });
}
