/**
 * Who asks, and may they? Asked before anything else of a request is looked at, so that nobody without a key learns which
 * routes, IPs or pools there are.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Account } from '../fleet/accounts.ts';
import { type ApiKey, noteUse, type Scope, verifyApiKey } from '../fleet/api-keys.ts';
import type { Engine } from '../fleet/engine.ts';
import { speaksV3 } from './dialect.ts';
import { HttpProblem } from './errors.ts';

export type Caller = {
  readonly account: Account;
  readonly scopes: readonly Scope[];
  readonly keyId: string;
  readonly keyName: string | null;
  /** How the v3 dialect shows the IPs of a pool to this key. */
  readonly poolIps: ApiKey['poolIps'];
};

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key must be allowed to do; `nobody`: no key is asked for. Unless said: `read` for GET, else `write`. */
    scope?: Scope | 'nobody';
    /** Programs of the same machine need no key. */
    openOnThisMachine?: boolean;
  }
  interface FastifyRequest {
    caller: Caller | null;
  }
}

/** A key that is revoked is refused after a second at the latest, measured from before it was looked up. */
const REMEMBERED_MS = 900;
const MOST_REMEMBERED = 10_000;
const LONGEST_HEADER = 512;
/** When a key was used last is known to the minute: people look for keys that nobody uses any more. */
const NOTED_EVERY_MS = 60_000;

export type Door = {
  /** Lets in who has a key with this scope, on routes that need nothing between the two. */
  admit(app: FastifyInstance, scope: Scope): void;
  /** Lets in who has a key. */
  requireKeys(app: FastifyInstance): void;
  /** To be called after the requests are counted, so that a refusal counts too and says how many are left. */
  requireScopes(app: FastifyInstance): void;
};

/** One for all routes, so that a key that is known at one of them is known at all. Hooks that wait for nothing make nobody wait. */
export function createDoor(root: FastifyInstance, engine: Engine, clock: () => number): Door {
  const callers = rememberBriefly(engine, clock);
  root.decorateRequest('caller', null);

  /** Calls `then` at once where the key is known. @throws HttpProblem without a key */
  function enter(request: FastifyRequest, then: (error?: Error | null) => void): void {
    const { authorization = '' } = request.headers;
    request.caller = callers.known(authorization);
    if (request.caller) then();
    else {
      callers.find(authorization, keyOf(request)).then((caller) => {
        request.caller = caller;
        then(caller ? null : unauthenticated(request, UNKNOWN_KEY));
      }, then);
    }
  }

  return {
    admit(app, scope) {
      app.addHook('onRequest', (request, _reply, done) =>
        enter(request, (error) => done(error ?? missingScope(request.caller!, scope, request) ?? undefined)),
      );
    },
    requireKeys(app) {
      app.addHook('onRequest', (request, _reply, done) => {
        if (scopeOf(request) === 'nobody') return done();
        enter(request, (error) => done(error ?? undefined));
      });
    },
    requireScopes(app) {
      app.addHook('onRequest', (request, _reply, done) => {
        const scope = scopeOf(request);
        // A route that does not exist is told to every key, whatever it may do.
        if (scope === 'nobody' || request.is404) return done();
        if (!request.caller) throw unauthenticated(request, NO_KEY);
        done(missingScope(request.caller, scope, request) ?? undefined);
      });
    },
  };
}

/** Who acted, for the stream of changes. */
export const actorOf = ({ keyName, keyId }: Caller) => `key:${keyName ?? keyId}`;

function scopeOf(request: FastifyRequest): Scope | 'nobody' {
  const { routeOptions, method } = request;
  if (routeOptions.config.openOnThisMachine && isFromThisMachine(request)) return 'nobody';
  return routeOptions.config.scope ?? (method === 'GET' || method === 'HEAD' ? 'read' : 'write');
}

const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/;
const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;
/** What proxies add: then it is somebody else who asks, through a proxy that runs here. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'];

/**
 * Asked directly, by the name of this machine for itself: a web page that had its own name point here has another. A proxy
 * that says nothing of itself gives itself away by HTTP/1.0, which most of them speak to those behind them.
 */
const isFromThisMachine = ({ socket, headers, raw }: FastifyRequest) =>
  raw.httpVersion !== '1.0' &&
  LOOPBACK.test(socket.remoteAddress ?? '') &&
  LOOPBACK_HOST.test(headers.host ?? '') &&
  FORWARDED.every((name) => headers[name] === undefined);

/** The same refusals in the words that the clients of either dialect know. */
const NO_KEY = {
  v1: 'an API key is needed; send it as "Authorization: Bearer <key>"',
  v3: 'authorization required',
};
const UNKNOWN_KEY = {
  v1: 'Invalid API key provided',
  v3: 'The provided authorization grant is invalid, expired, or revoked',
};

function keyOf(request: FastifyRequest): string {
  const [, key] = /^bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
  if (!key) throw unauthenticated(request, NO_KEY);
  return key;
}

const unauthenticated = (request: FastifyRequest, message: { v1: string; v3: string }) =>
  new HttpProblem(401, 'authentication_error', speaksV3(request) ? message.v3 : message.v1, {
    'www-authenticate': 'Bearer',
  });

function missingScope({ scopes }: Caller, scope: Scope, request: FastifyRequest): HttpProblem | null {
  if (scopes.includes(scope) || scopes.includes('admin')) return null;
  if (speaksV3(request)) return missingScopeV3(request.routeOptions.url ?? '', scope);
  const has = scopes.length === 0 ? 'no scope' : `the scope ${scopes.join(', ')}`;
  return new HttpProblem(
    403,
    'forbidden',
    `${request.method} ${request.routeOptions.url} needs a key with the scope ${scope}; this one has ${has}`,
  );
}

/** SendGrid's newer routes answer 401 and name the scope, its older ones 403; kept for compatible clients. */
const missingScopeV3 = (route: string, scope: Scope) =>
  route.startsWith('/v3/send_ips')
    ? new HttpProblem(401, 'forbidden', `missing required scope: ${scope}`, {}, '')
    : new HttpProblem(403, 'forbidden', 'access forbidden');

/**
 * By the whole header, so that a known one costs no hash and no look at its form. Only keys that are good are remembered: a
 * new one must work at once, even if it was tried before. What is over is dropped soon, since it is a secret.
 */
function rememberBriefly(engine: Engine, clock: () => number) {
  type Entry = { caller: Caller | null; looking: Promise<Caller | null>; untilMs: number };
  const remembered = new Map<string, Entry>();
  const note = noteNowAndThen(engine, clock);
  let dropAtMs = 0;

  function dropOld(nowMs: number): void {
    if (remembered.size >= MOST_REMEMBERED) remembered.clear();
    if (nowMs < dropAtMs) return;
    dropAtMs = nowMs + REMEMBERED_MS;
    for (const [header, { untilMs }] of remembered) if (nowMs >= untilMs) remembered.delete(header);
  }

  async function look(header: string, key: string, entry: Entry): Promise<Caller | null> {
    try {
      entry.caller = await lookUp(engine, key);
    } finally {
      if (!entry.caller && remembered.get(header) === entry) remembered.delete(header);
    }
    if (entry.caller) note(entry.caller.keyId);
    return entry.caller;
  }

  return {
    known(header: string): Caller | null {
      const entry = remembered.get(header);
      return entry && clock() < entry.untilMs ? entry.caller : null;
    },
    async find(header: string, key: string): Promise<Caller | null> {
      if (header.length > LONGEST_HEADER) return null;
      const nowMs = clock();
      const known = remembered.get(header);
      if (known && nowMs < known.untilMs) return known.looking;
      dropOld(nowMs);
      const entry: Entry = { caller: null, looking: Promise.resolve(null), untilMs: nowMs + REMEMBERED_MS };
      entry.looking = look(header, key, entry);
      remembered.set(header, entry);
      return entry.looking;
    },
  };
}

async function lookUp(engine: Engine, key: string): Promise<Caller | null> {
  const found = await verifyApiKey(engine, key);
  if (!found) return null;
  const { account, apiKey } = found;
  const { id, name, scopes, poolIps } = apiKey;
  return { account, scopes, keyId: id, keyName: name, poolIps };
}

/** One write a minute for each key in use, that nobody waits for. */
function noteNowAndThen(engine: Engine, clock: () => number) {
  const notedMs = new Map<string, number>();
  return (keyId: string): void => {
    const nowMs = clock();
    if (nowMs - (notedMs.get(keyId) ?? Number.NEGATIVE_INFINITY) < NOTED_EVERY_MS) return;
    if (notedMs.size >= MOST_REMEMBERED) notedMs.clear();
    notedMs.set(keyId, nowMs);
    // Not known when it was used last is no reason to refuse anybody.
    noteUse(engine, keyId).catch(() => {});
  };
}
