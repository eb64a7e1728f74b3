/**
 * Who is signed in: a random id in a cookie, and in Redis under its SHA-256 whose key it was, for twelve hours of real time.
 * The key itself is kept nowhere. Each request looks the key up anew, so that a session ends with its key.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { z } from 'zod';
import { hashOf, noteUse, type Scope, verifyKeyHash } from '../../fleet/api-keys.ts';
import { type Engine, type Tenant, tenantOf } from '../../fleet/engine.ts';
import { sessionKey } from '../../redis/keys.ts';
import { actorOf, type Caller } from '../auth.ts';

const LASTS_MS = 12 * 3_600_000;
const COOKIE = 'warmline_session';

const Kept = z.object({ keyHash: z.string(), csrf: z.string() });

export type Session = {
  readonly caller: Caller;
  readonly tenant: Tenant;
  /** Stands in every form of this session. */
  readonly csrf: string;
  /** Names the session in Redis. */
  readonly idHash: string;
  may(scope: Scope): boolean;
};

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const random = () => randomBytes(32).toString('base64url');

/** @returns `null` for a key that opens nothing */
export async function beginSession(
  engine: Engine,
  key: string,
): Promise<{ id: string; caller: Caller } | null> {
  const keyHash = hashOf(key);
  const caller = await callerOfHash(engine, keyHash);
  if (!caller) return null;
  const id = random();
  const kept = JSON.stringify({ keyHash, csrf: random() });
  await engine.scripts.redis.set(sessionKey(sha256(id)), kept, 'PX', LASTS_MS);
  // Not known when it was used last is no reason to refuse anybody.
  noteUse(engine, caller.keyId).catch(() => {});
  return { id, caller };
}

/** The session of a request, if it has one whose key is still good. */
export async function sessionOf(engine: Engine, request: FastifyRequest): Promise<Session | null> {
  const id = cookieOf(request);
  return id === null ? null : readSession(engine, sha256(id));
}

export async function readSession(engine: Engine, idHash: string): Promise<Session | null> {
  const raw = await engine.scripts.redis.get(sessionKey(idHash));
  const kept = raw === null ? null : Kept.safeParse(JSON.parse(raw));
  if (!kept?.success) return null;
  const caller = await callerOfHash(engine, kept.data.keyHash);
  if (!caller) return null;
  return {
    caller,
    tenant: tenantOf(engine, caller.account, actorOf(caller)),
    csrf: kept.data.csrf,
    idHash,
    may: (scope) => caller.scopes.includes(scope) || caller.scopes.includes('admin'),
  };
}

export const endSession = ({ scripts }: Engine, { idHash }: Session) => scripts.redis.del(sessionKey(idHash));

async function callerOfHash(engine: Engine, keyHash: string): Promise<Caller | null> {
  const found = await verifyKeyHash(engine, keyHash);
  if (!found) return null;
  const { account, apiKey } = found;
  const { id, name, scopes, poolIps } = apiKey;
  return { account, scopes, keyId: id, keyName: name, poolIps };
}

export function isTokenOf({ csrf }: Session, given: string): boolean {
  const [a, b] = [Buffer.from(csrf), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Browsers say where a request comes from; one that comes from elsewhere is no press of a button here. */
export function comesFromElsewhere({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host;
}

// ---- the cookie

function cookieOf({ headers }: FastifyRequest): string | null {
  const [, id] = new RegExp(`(?:^|;\\s*)${COOKIE}=([\\w-]{43})(?:;|$)`).exec(headers.cookie ?? '') ?? [];
  return id ?? null;
}

export const giveCookie = (request: FastifyRequest, reply: FastifyReply, id: string) =>
  setCookie(request, reply, id, LASTS_MS / 1000);
export const takeCookie = (request: FastifyRequest, reply: FastifyReply) => setCookie(request, reply, '', 0);

function setCookie(request: FastifyRequest, reply: FastifyReply, value: string, maxAge: number): void {
  // A proxy that ends TLS says so; who lies about it only keeps his own cookie from himself.
  const isSecure = request.protocol === 'https' || request.headers['x-forwarded-proto'] === 'https';
  const attributes = [
    'Path=/',
    `Max-Age=${maxAge}`,
    'HttpOnly',
    'SameSite=Strict',
    ...(isSecure ? ['Secure'] : []),
  ];
  reply.header('set-cookie', [`${COOKIE}=${value}`, ...attributes].join('; '));
}

// ---- how often somebody may try a key

const TRIES_PER_MINUTE = 10;
const TRIES_PER_MINUTE_OF_ALL = 300;

/** Failures count, by address and all together: nobody guesses 256 bits, but a guess costs Redis a look. */
export function limitTries() {
  const ofOne = new RateLimiterMemory({ points: TRIES_PER_MINUTE, duration: 60, keyPrefix: '' });
  const ofAll = new RateLimiterMemory({ points: TRIES_PER_MINUTE_OF_ALL, duration: 60, keyPrefix: '' });
  return {
    /** Seconds to wait; 0: go on. */
    async waitFor(ip: string): Promise<number> {
      const [one, all] = await Promise.all([ofOne.get(ip), ofAll.get('all')]);
      const waits = [
        one && one.consumedPoints >= TRIES_PER_MINUTE ? one.msBeforeNext : 0,
        all && all.consumedPoints >= TRIES_PER_MINUTE_OF_ALL ? all.msBeforeNext : 0,
      ];
      return Math.ceil(Math.max(...waits) / 1000);
    },
    async failed(ip: string): Promise<void> {
      await Promise.allSettled([ofOne.consume(ip), ofAll.consume('all')]);
    },
  };
}
