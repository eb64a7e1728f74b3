/** The whole life of an IP, and whatever else a deployment does, with Redis users that may only do what they must. */
import { pino } from 'pino';
import { ensureDefaultAccount } from '../../src/fleet/accounts.ts';
import { replaceEnvironmentKey } from '../../src/fleet/api-keys.ts';
import { openDatabase } from '../../src/fleet/database.ts';
import { type Engine, randomId } from '../../src/fleet/engine.ts';
import { createApi } from '../../src/http/server.ts';
import { checkServer } from '../../src/redis/check.ts';
import { connect } from '../../src/redis/connect.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import { startWebhooks } from '../../src/worker/webhooks.ts';
import { startWorker } from '../../src/worker/worker.ts';
import { bookOf } from '../support/fleet.ts';

export const ADMIN_KEY = 'wl_test_admin_0123456789';

type Reply = {
  status: number; // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers that it then compares
  body: any;
  headers: Record<string, unknown>;
  text: string;
};

export interface Deployment {
  ask(method: string, url: string, body?: unknown): Promise<Reply>;
  /** With a form, a cookie, or another key. */
  request(method: string, url: string, headers: Record<string, string>, payload?: string): Promise<Reply>;
  stop(): Promise<void>;
}

/** API, worker and webhooks in this process, each with the connections that it has when it is deployed. */
export async function deploy(
  redisUrl: string,
  { testClockMs = null as number | null } = {},
): Promise<Deployment> {
  const log = pino({ level: 'silent' });
  const redis = await connect(redisUrl);
  const { fatal } = await checkServer(redis);
  if (fatal.length > 0) throw new Error(fatal.join('; '));
  const { testClock } = await openDatabase(redis, testClockMs);
  const engine: Engine = {
    ...{ scripts: createScripts(redis, { testClock }), book: bookOf(), cooldownMs: 60_000, newId: randomId },
  };
  await ensureDefaultAccount(engine);
  await replaceEnvironmentKey(engine, ADMIN_KEY);
  const worker = await startWorker({ engine, redisUrl, log, tickEveryMs: 200 });
  const webhooks = await startWebhooks({
    ...{ engine, redisUrl, log, allowPrivate: true, changesEveryMs: 50, quotasEveryMs: 50 },
  });
  const app = await createApi({ engine, log, rateLimitPerMinute: 100_000, webhooksMayBePrivate: true });
  const request: Deployment['request'] = async (method, url, headers, payload) => {
    const answer = await app.inject({
      method: method as 'GET',
      url,
      headers,
      ...(payload !== undefined && { payload }),
    });
    const isJson = String(answer.headers['content-type']).includes('json');
    return {
      ...{ status: answer.statusCode, headers: answer.headers, text: answer.body },
      body: isJson && answer.body ? answer.json() : {},
    };
  };
  return {
    request,
    ask: (method, url, body) =>
      request(
        method,
        url,
        {
          authorization: `Bearer ${ADMIN_KEY}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body === undefined ? undefined : JSON.stringify(body),
      ),
    async stop() {
      await app.close();
      await webhooks.stop();
      await worker.stop();
      redis.disconnect();
    },
  };
}
