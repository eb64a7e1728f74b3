/** The stop button: no mail, no progress, or neither, for one IP or for a whole pool, at once. */
import type { FastifyInstance } from 'fastify';
import { type HoldRequest, holdIp, resumeIp } from '../../fleet/ips.ts';
import { holdPool, resumePool } from '../../fleet/pools.ts';
import { parse } from '../../wire/parse.ts';
import { IpShape, PoolShape } from '../../wire/shapes.ts';
import { HoldBody } from '../../wire/v1.ts';
import type { Context } from '../context.ts';
import type { RouteDocs } from '../openapi.ts';
import { describeIp } from './dedicated-ips.ts';
import { ipNamed } from './named.ts';
import { wire } from './pools.ts';

const HOLD_IP: RouteDocs = {
  summary: 'Hold an IP: no mail, no progress, or neither',
  id: 'holdDedicatedIp',
  body: HoldBody,
  answers: { 200: IpShape },
  refusals: [409],
  example: { because: 'a blocklist names it', until: '2025-01-12T10:00:00Z' },
};
const RESUME_IP: RouteDocs = {
  summary: 'Lift the hold of an IP',
  description: 'Answers with the IP, since a hold of its pool may go on.',
  id: 'resumeDedicatedIp',
  answers: { 200: IpShape },
};
const HOLD_POOL: RouteDocs = {
  summary: 'Hold every IP of a pool, also those that join it later',
  id: 'holdPool',
  body: HoldBody,
  answers: { 200: PoolShape },
  refusals: [409],
  example: { because: 'a campaign went wrong' },
};
const RESUME_POOL: RouteDocs = {
  summary: 'Lift the hold of a pool',
  id: 'resumePool',
  answers: { 200: PoolShape },
};

export function registerHolds(app: FastifyInstance, context: Context): void {
  const { tenantOf } = context;

  app.post<{ Params: { id: string } }>(
    '/v1/dedicated-ips/:id/hold',
    { config: { docs: HOLD_IP } },
    async (request) => {
      const asked = holdRequestOf(request.body);
      const tenant = tenantOf(request);
      return describeIp(context, tenant, await holdIp(tenant, ipNamed(request.params.id), asked));
    },
  );

  app.delete<{ Params: { id: string } }>(
    '/v1/dedicated-ips/:id/hold',
    { config: { docs: RESUME_IP } },
    async (request) => {
      const tenant = tenantOf(request);
      return describeIp(context, tenant, await resumeIp(tenant, ipNamed(request.params.id)));
    },
  );

  app.post<{ Params: { poolId: string } }>(
    '/v1/dedicated-ips/pools/:poolId/hold',
    { config: { docs: HOLD_POOL } },
    async (request) => {
      const asked = holdRequestOf(request.body);
      const tenant = tenantOf(request);
      return wire(tenant, await holdPool(tenant, request.params.poolId, asked));
    },
  );

  app.delete<{ Params: { poolId: string } }>(
    '/v1/dedicated-ips/pools/:poolId/hold',
    { config: { docs: RESUME_POOL } },
    async (request) => {
      const tenant = tenantOf(request);
      return wire(tenant, await resumePool(tenant, request.params.poolId));
    },
  );
}

function holdRequestOf(body: unknown): HoldRequest {
  const { until, ...hold } = parse(HoldBody, body);
  return { ...hold, untilMs: until };
}
