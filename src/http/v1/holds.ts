/** The stop button: no mail, no progress, or neither, for one IP, for a whole pool or for the whole account. */
import type { FastifyInstance } from 'fastify';
import { accountHold, type HeldAll, holdAll, resumeAll } from '../../fleet/hold-all.ts';
import { type HoldRequest, holdIp, resumeIp } from '../../fleet/ips.ts';
import { holdPool, resumePool } from '../../fleet/pools.ts';
import { parse } from '../../wire/parse.ts';
import { AccountHoldChangeShape, AccountHoldShape, IpShape, PoolShape } from '../../wire/shapes.ts';
import { HoldBody, holdOf } from '../../wire/v1.ts';
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
  refusals: [409],
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

const GET_ALL: RouteDocs = {
  summary: 'What stops the whole account',
  id: 'getAccountHold',
  answers: { 200: AccountHoldShape },
};
const HOLD_ALL: RouteDocs = {
  summary: 'Stop the whole account: every IP, also those that come to it later',
  description:
    'The IPs are held one handful after the other: some ten thousand take a few seconds. What was broken off is sent again; the same hold again changes only the IPs that were left out.',
  id: 'holdAccount',
  body: HoldBody,
  answers: { 200: AccountHoldChangeShape },
  refusals: [409],
  example: { because: 'a bounce storm' },
};
const RESUME_ALL: RouteDocs = {
  summary: 'Lift the stop of the whole account',
  description: 'What is held for itself or with its pool stays held.',
  id: 'resumeAccount',
  answers: { 200: AccountHoldChangeShape },
};

export function registerHolds(app: FastifyInstance, context: Context): void {
  const { tenantOf } = context;

  const changeOf = ({ hold, changed }: HeldAll) => ({ hold: holdOf(hold), changed });
  app.get('/v1/hold', { config: { docs: GET_ALL } }, async (request) => ({
    hold: holdOf(await accountHold(tenantOf(request))),
  }));
  app.post('/v1/hold', { config: { docs: HOLD_ALL } }, async (request) => {
    const asked = holdRequestOf(request.body);
    return changeOf(await holdAll(tenantOf(request), asked));
  });
  app.delete('/v1/hold', { config: { docs: RESUME_ALL } }, async (request) =>
    changeOf(await resumeAll(tenantOf(request))),
  );

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
