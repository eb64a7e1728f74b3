/** `/v3/ips/warmup`: which IPs warm up, and into and out of it. Answers about one IP are lists of one. */
import type { FastifyInstance } from 'fastify';
import { eachWarming } from '../../fleet/by-address.ts';
import { endWarmup, startWarmup } from '../../fleet/ips.ts';
import {
  IpBody,
  OfIpAddress,
  readV3Body,
  resourceNotFound,
  WarmupList,
  warmupEntryOf,
} from '../../wire/v3.ts';
import type { Context } from '../context.ts';
import { callerOf, ipOr404 } from './caller.ts';
import { isRefused } from './refusals.ts';

type OneIp = { Params: { ip_address: string } };

export function registerWarmup(app: FastifyInstance, context: Context): void {
  app.get(
    '/v3/ips/warmup',
    { config: { docs: { summary: 'All IPs that warm up', answers: { 200: WarmupList } } } },
    async (request) => {
      const { tenant } = await callerOf(context, request);
      const entries: ReturnType<typeof warmupEntryOf>[] = [];
      for await (const ip of eachWarming(tenant))
        if (ip.status === 'warming') entries.push(warmupEntryOf(ip));
      return entries;
    },
  );

  app.post(
    '/v3/ips/warmup',
    {
      config: {
        docs: {
          summary: 'Put an IP into warm-up',
          description:
            'An IP that warms up already is answered as it is: a ramp is never restarted by accident.',
          body: IpBody,
          answers: { 201: WarmupList },
          refusals: [404],
          example: { ip: '198.51.100.7' },
        },
      },
    },
    async (request, reply) => {
      const { ip: address } = readV3Body(IpBody, request.body);
      const { tenant } = await callerOf(context, request);
      const ip = await ipOr404(tenant, address);
      const started = await orGone(() => startWarmup(tenant, ip.id, { plan: 'sendgrid-hourly' }));
      return reply.code(201).send([warmupEntryOf(started)]);
    },
  );

  app.get<OneIp>(
    '/v3/ips/warmup/:ip_address',
    {
      config: {
        docs: { summary: 'Since when an IP warms up', params: OfIpAddress, answers: { 200: WarmupList } },
      },
    },
    async (request) => {
      const { tenant } = await callerOf(context, request);
      const ip = await ipOr404(tenant, request.params.ip_address);
      if (ip.status !== 'warming') throw resourceNotFound();
      return [warmupEntryOf(ip)];
    },
  );

  app.delete<OneIp>(
    '/v3/ips/warmup/:ip_address',
    {
      config: {
        docs: {
          summary: 'End the warm-up of an IP: it is active from now on',
          params: OfIpAddress,
          answers: { 204: null },
        },
      },
    },
    async (request, reply) => {
      const { tenant } = await callerOf(context, request);
      const ip = await ipOr404(tenant, request.params.ip_address);
      await orGone(() => endWarmup(tenant, ip.id));
      return reply.code(204).send();
    },
  );
}

/** It does not warm up, or was released just now. */
async function orGone<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw isRefused(error, 'conflict', 'not_found') ? resourceNotFound() : error;
  }
}
