/** The real API on a real engine for one test file, and requests in as few words as a test needs. */
import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { DEFAULT_ACCOUNT } from '../../src/fleet/accounts.ts';
import { replaceEnvironmentKey, type Scope } from '../../src/fleet/api-keys.ts';
import { type ApiOptions, createApi } from '../../src/http/server.ts';
import { directoryKeys } from '../../src/redis/keys.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { mistakesIn } from './described.ts';

/** The instant of the example in the published documents. */
export const CARD = Date.UTC(2026, 0, 10, 10);

export const ADMIN_KEY = 'wl_test_admin_0123456789';

/** An answer as a test looks at it. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers that they then compare
export type Answer = { status: number; body: any; headers: Record<string, unknown> };

export type Ask = (
  method: string,
  url: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer>;

export interface Api extends Fleet {
  readonly app: FastifyInstance;
  /** As the operator. */
  readonly ask: Ask;
  /** With any key, or with none. */
  askAs(key: string | null): Ask;
  /** A key of an account with scopes of its own. */
  key(account: string, scopes: readonly Scope[]): Promise<string>;
  revoke(key: string): Promise<void>;
  /** Moves the real clock by which a key is remembered. */
  passRealTime(ms: number): void;
}

const hashOf = (key: string) => createHash('sha256').update(key).digest('hex');

export async function startApi(
  options: Parameters<typeof startFleet>[0] & { api?: Partial<ApiOptions> } = {},
): Promise<Api> {
  const fleet = await startFleet({ clock: CARD, ...options });
  await replaceEnvironmentKey(fleet.engine, ADMIN_KEY);
  let realMs = 0;
  const app = await createApi({
    engine: fleet.engine,
    log: pino({ level: 'silent' }),
    clock: () => realMs,
    ...options.api,
  });

  const askAs =
    (key: string | null): Ask =>
    async (method, url, body, headers = {}) => {
      const response = await app.inject({
        method: method as 'GET',
        url,
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      // What the document says about this answer must be true of it.
      const { statusCode: status, body: text } = response;
      const mistakes = method === 'HEAD' ? [] : await mistakesIn(app, { method, url, status, body: text });
      if (mistakes.length > 0) throw new Error(mistakes.join('\n'));
      const isJson =
        response.body !== '' && String(response.headers['content-type']).startsWith('application/json');
      return {
        status: response.statusCode,
        headers: response.headers,
        body: isJson ? response.json() : response.body,
      };
    };

  let keys = 0;
  return {
    ...fleet,
    app,
    ask: askAs(ADMIN_KEY),
    askAs,
    async key(account, scopes) {
      keys += 1;
      const key = `wl_test_${account}_${keys}`;
      const id = `key_test${keys}`;
      const record = {
        ...{ id, place: keys, account, scopes, name: null, prefix: 'wl_', last4: key.slice(-4) },
        ...{ poolIps: 'strings', createdAtMs: CARD, expiresAtMs: null },
      };
      await fleet.redis.hset(directoryKeys.apiKeys, hashOf(key), JSON.stringify(record));
      return key;
    },
    async revoke(key) {
      await fleet.redis.hdel(directoryKeys.apiKeys, hashOf(key));
    },
    passRealTime: (ms) => {
      realMs += ms;
    },
    async stop() {
      await app.close();
      await fleet.stop();
    },
  };
}

/** One for all tests of a file, there from the first of them on. */
export function useApi(options: Parameters<typeof startApi>[0] = {}): Api {
  const api = {} as Api;
  beforeAll(async () => {
    Object.assign(api, await startApi(options));
  });
  afterAll(() => api.stop?.());
  return api;
}

/** As `useApi`, and each test finds it as new. */
export function useNewApi(options: Parameters<typeof startApi>[0] = {}): Api {
  const api = useApi(options);
  beforeEach(async () => {
    await api.reset();
    await replaceEnvironmentKey(api.engine, ADMIN_KEY);
  });
  return api;
}

export { DEFAULT_ACCOUNT };

/** The body of an answer that has this status. */
export function ok(answer: Answer, status = 200): Answer['body'] {
  expect(answer.status, JSON.stringify(answer.body)).toBe(status);
  return answer.body;
}
