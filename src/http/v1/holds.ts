/** The stop button: no mail, no progress, or neither, for one IP or for a whole pool, at once. */
import type { FastifyInstance } from 'fastify';
import { type HoldRequest, holdIp, resumeIp } from '../../fleet/ips.ts';
import { holdPool, resumePool } from '../../fleet/pools.ts';
import { parse } from '../../wire/parse.ts';
import { HoldBody } from '../../wire/v1.ts';
import type { Context } from '../context.ts';
import { describeIp } from './dedicated-ips.ts';
import { ipNamed } from './named.ts';
import { wire } from './pools.ts';

export function registerHolds(app: FastifyInstance, context: Context): void {
  const { tenantOf } = context;

  app.post<{ Params: { id: string } }>('/v1/dedicated-ips/:id/hold', async (request) => {
    const asked = holdRequestOf(request.body);
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await holdIp(tenant, ipNamed(request.params.id), asked));
  });

  /** Answers with the IP, since a hold of its pool may go on. */
  app.delete<{ Params: { id: string } }>('/v1/dedicated-ips/:id/hold', async (request) => {
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await resumeIp(tenant, ipNamed(request.params.id)));
  });

  app.post<{ Params: { poolId: string } }>('/v1/dedicated-ips/pools/:poolId/hold', async (request) => {
    const asked = holdRequestOf(request.body);
    const tenant = tenantOf(request);
    return wire(tenant, await holdPool(tenant, request.params.poolId, asked));
  });

  app.delete<{ Params: { poolId: string } }>('/v1/dedicated-ips/pools/:poolId/hold', async (request) => {
    const tenant = tenantOf(request);
    return wire(tenant, await resumePool(tenant, request.params.poolId));
  });
}

function holdRequestOf(body: unknown): HoldRequest {
  const { until, ...hold } = parse(HoldBody, body);
  return { ...hold, untilMs: until };
}
