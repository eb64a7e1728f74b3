/** What senders wanted, over HTTP and over Redis, beside what they were granted. */
import type { FastifyInstance } from 'fastify';
import { type Demand, demandOfHours, HOURS_SHOWN, OF_ALL, sumOfDemand } from '../fleet/demand.ts';
import { getIp } from '../fleet/ips.ts';
import { getPool } from '../fleet/pools.ts';
import { invalid } from '../warmup/errors.ts';
import { type DemandAnswer, DemandQuery, DemandShape } from '../wire/demand.ts';
import { instant, parseQuery } from '../wire/parse.ts';
import type { Context } from './context.ts';
import type { RouteDocs } from './openapi.ts';
import { ipNamed } from './v1/named.ts';

const DEMAND: RouteDocs = {
  summary: 'What was wanted, granted and held, by the hour',
  description:
    'Of the account, or of what named one IP or one pool: of senders over HTTP and of those that speak Redis themselves.',
  id: 'getDemand',
  query: DemandQuery,
  answers: { 200: DemandShape },
  refusals: [404],
};

export function registerDemand(app: FastifyInstance, { tenantOf, tellDemand }: Context): void {
  app.get(
    '/v1/quota/demand',
    { config: { scope: 'read', docs: DEMAND } },
    async (request): Promise<DemandAnswer> => {
      const { ip, pool, hours = HOURS_SHOWN } = parseQuery(DemandQuery, request.query);
      if (ip !== undefined && pool !== undefined) throw invalid('pool', 'name an ip or a pool, not both');
      const tenant = tenantOf(request);
      const ipId = ip === undefined ? null : (await getIp(tenant, ipNamed(ip))).id;
      const poolId = pool === undefined ? null : (await getPool(tenant, pool)).id;
      await tellDemand(tenant.account);
      const found = await demandOfHours(tenant, ipId ?? poolId ?? OF_ALL, hours);
      return {
        ipId,
        poolId,
        ...inJson(sumOfDemand(found)),
        hours: found.map(({ fromMs, ...demand }) => ({ from: instant(fromMs), ...inJson(demand) })),
      };
    },
  );
}

const inJson = ({ wanted, granted, held, heldBy }: Demand) => ({
  wanted,
  granted,
  held,
  heldBy: Object.fromEntries(heldBy),
});
