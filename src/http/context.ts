/** What every room of the API is handed: the engine, and the request in its words. */
import type { FastifyRequest } from 'fastify';
import { type Engine, type Tenant, tenantOf } from '../fleet/engine.ts';
import { createDemand, type Demand } from '../redis/demand.ts';
import type { AccountRef } from '../redis/keys.ts';
import { createLimiter, type Limiter } from '../redis/limiter.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';
import type { Counted } from '../wire/v1.ts';
import { actorOf, type Caller } from './auth.ts';
import { createReceipts, type Receipts } from './receipts.ts';

export type Context = {
  readonly engine: Engine;
  /** Signs the receipts of an account, and knows its own again. */
  receiptsOf(accountId: string): Receipts;
  /** The account of the key. @throws when the route forgot to ask for a key */
  callerOf(request: FastifyRequest): Caller;
  tenantOf(request: FastifyRequest): Tenant;
  /** Another account, on which the caller acts as the operator. */
  tenantFor(request: FastifyRequest, account: AccountRef): Tenant;
  limiterOf(account: AccountRef): Limiter;
  /** Hands in what takes over HTTP wanted, so that whoever looks here sees what this process did a moment ago. */
  tellDemand(account: AccountRef): Promise<void>;
  /** The same of all accounts, before the process ends. */
  tellAllDemand(): Promise<void>;
  /** What was counted for this very IP: once it is released, its address may be counted for another one. */
  countedFor(tenant: Tenant, ip: DedicatedIp): Promise<Counted>;
};

/** One limiter for each account that asks; it remembers addresses only, so forgetting it costs a look. */
const MOST_LIMITERS = 1_000;

export function createContext(engine: Engine, receiptSecret: string): Context {
  const limiters = new Map<string, { limiter: Limiter; demand: Demand }>();

  function callerOf(request: FastifyRequest): Caller {
    if (!request.caller)
      throw new Error(`${request.method} ${request.routeOptions.url} was reached without a key`);
    return request.caller;
  }

  function tenantFor(request: FastifyRequest, account: AccountRef): Tenant {
    const tenant = tenantOf(engine, account, actorOf(callerOf(request)));
    return request.repeatable?.repeatable(tenant) ?? tenant;
  }

  function limiterOf(account: AccountRef): Limiter {
    let known = limiters.get(account.id);
    if (!known) {
      // What those that are forgotten have not handed in yet they hand in all the same.
      if (limiters.size >= MOST_LIMITERS) limiters.clear();
      const demand = createDemand(engine.scripts, account);
      known = { limiter: createLimiter(engine.scripts, account, { demand }), demand };
      limiters.set(account.id, known);
    }
    return known.limiter;
  }

  return {
    engine,
    receiptsOf: createReceipts(receiptSecret),
    callerOf,
    tenantOf: (request) => tenantFor(request, callerOf(request).account),
    tenantFor,
    limiterOf,
    tellDemand: async ({ id }) => limiters.get(id)?.demand.handIn(),
    async tellAllDemand() {
      await Promise.all([...limiters.values()].map(({ demand }) => demand.handIn()));
    },
    async countedFor({ account }, ip) {
      const counted = await limiterOf(account).look(ip.address, ip.id);
      return { ...counted, counter: counted.counter?.texts.id === ip.id ? counted.counter : null };
    },
  };
}
