/** What every room of the API is handed: the engine, and the request in its words. */
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { type Engine, type Tenant, tenantOf } from '../fleet/engine.ts';
import type { AccountRef } from '../redis/keys.ts';
import { createLimiter, type Limiter } from '../redis/limiter.ts';
import type { Caller } from './auth.ts';

export type Context = {
  readonly engine: Engine;
  readonly log: Logger;
  /** The account of the key. @throws when the route forgot to ask for a key */
  callerOf(request: FastifyRequest): Caller;
  tenantOf(request: FastifyRequest): Tenant;
  limiterOf(account: AccountRef): Limiter;
};

/** One limiter for each account that asks; it remembers addresses only, so forgetting it costs a look. */
const MOST_LIMITERS = 1_000;

export function createContext(engine: Engine, log: Logger): Context {
  const limiters = new Map<string, Limiter>();

  function callerOf(request: FastifyRequest): Caller {
    if (!request.caller)
      throw new Error(`${request.method} ${request.routeOptions.url} was reached without a key`);
    return request.caller;
  }

  return {
    engine,
    log,
    callerOf,
    tenantOf: (request) => tenantOf(engine, callerOf(request).account, 'api'),
    limiterOf(account) {
      let limiter = limiters.get(account.id);
      if (!limiter) {
        if (limiters.size >= MOST_LIMITERS) limiters.clear();
        limiter = createLimiter(engine.scripts, account);
        limiters.set(account.id, limiter);
      }
      return limiter;
    },
  };
}
