/**
 * Who asks, and may they? Asked before anything else of a request is looked at, so that nobody without a key learns which
 * routes, IPs or pools there are.
 */
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Account, type Scope, verifyApiKey } from '../fleet/accounts.ts';
import type { Engine } from '../fleet/engine.ts';
import { WarmlineError } from '../warmup/errors.ts';
import { HttpProblem } from './errors.ts';

export type Caller = { readonly account: Account; readonly scopes: readonly Scope[] };

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key must be allowed to do; `nobody`: no key is asked for. Unless said: `read` for GET, else `write`. */
    scope?: Scope | 'nobody';
  }
  interface FastifyRequest {
    caller: Caller | null;
  }
}

/** A key that is revoked is refused after a second at the latest, measured from before it was looked up. */
const REMEMBERED_MS = 900;
const MOST_REMEMBERED = 10_000;
const LONGEST_KEY = 512;

export function requireKeys(app: FastifyInstance, engine: Engine, clock: () => number): void {
  const verify = rememberBriefly(engine, clock);
  app.decorateRequest('caller', null);
  app.addHook('onRequest', async (request) => {
    const scope = scopeOf(request);
    if (scope === 'nobody') return;
    const key = keyOf(request);
    const caller = key.length > LONGEST_KEY ? null : await verify(key);
    if (!caller) throw unauthenticated('Invalid API key provided');
    request.caller = caller;
    // A route that does not exist is told to every key, whatever it may do.
    if (!request.is404) checkScope(caller, scope, request);
  });
}

function scopeOf({ routeOptions, method }: FastifyRequest): Scope | 'nobody' {
  return routeOptions.config.scope ?? (method === 'GET' || method === 'HEAD' ? 'read' : 'write');
}

function keyOf(request: FastifyRequest): string {
  const [, key] = /^bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
  if (!key) throw unauthenticated('an API key is needed; send it as "Authorization: Bearer <key>"');
  return key;
}

const unauthenticated = (message: string) =>
  new HttpProblem(401, 'authentication_error', message, { 'www-authenticate': 'Bearer' });

function checkScope({ scopes }: Caller, scope: Scope, { method, routeOptions }: FastifyRequest): void {
  if (scopes.includes(scope) || scopes.includes('admin')) return;
  const has = scopes.length === 0 ? 'no scope' : `the scope ${scopes.join(', ')}`;
  throw new HttpProblem(
    403,
    'forbidden',
    `${method} ${routeOptions.url} needs a key with the scope ${scope}; this one has ${has}`,
  );
}

/** Only keys that are good are remembered: a new one must work at once, even if it was tried before. */
function rememberBriefly(engine: Engine, clock: () => number) {
  const remembered = new Map<string, { caller: Promise<Caller | null>; untilMs: number }>();

  return async (key: string): Promise<Caller | null> => {
    const hash = createHash('sha256').update(key).digest('base64');
    const known = remembered.get(hash);
    const nowMs = clock();
    if (known && nowMs < known.untilMs) return known.caller;
    const caller = lookUp(engine, key);
    if (remembered.size >= MOST_REMEMBERED) remembered.clear();
    const entry = { caller, untilMs: nowMs + REMEMBERED_MS };
    remembered.set(hash, entry);
    const forget = () => {
      if (remembered.get(hash) === entry) remembered.delete(hash);
    };
    caller.then((found) => found ?? forget(), forget);
    return caller;
  };
}

async function lookUp(engine: Engine, key: string): Promise<Caller | null> {
  try {
    return await verifyApiKey(engine, key);
  } catch (error) {
    // The key outlived its account.
    if (error instanceof WarmlineError && error.code === 'not_found') return null;
    throw error;
  }
}
