/** The API as `warmline api` runs it, or the handler that it is compared with. */
import Fastify from 'fastify';
import { pino } from 'pino';
import { openDatabase } from '../../src/fleet/database.ts';
import { randomId } from '../../src/fleet/engine.ts';
import { createApi } from '../../src/http/server.ts';
import { connect } from '../../src/redis/connect.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import { loadSchedules } from '../../src/runtime/schedules.ts';
import { DAY_MS } from '../../src/warmup/units.ts';
import { answerParent } from '../processes.ts';

type Question =
  | { role: 'api'; redisUrl: string }
  | { role: 'constant'; answer: string }
  /** CPU time used so far, in µs. */
  | { role: 'cpu' };

answerParent(async (question: Question) => {
  if (question.role === 'api') return startApi(question.redisUrl);
  if (question.role === 'constant') return startConstant(question.answer);
  const { user, system } = process.cpuUsage();
  return user + system;
});

async function startApi(redisUrl: string): Promise<string> {
  const redis = await connect(redisUrl);
  const { testClock } = await openDatabase(redis, null);
  const app = await createApi({
    engine: {
      scripts: createScripts(redis, { testClock }),
      book: await loadSchedules(),
      cooldownMs: 30 * DAY_MS,
      newId: randomId,
    },
    log: pino({ level: 'silent' }),
  });
  return app.listen({ host: '127.0.0.1', port: 0 });
}

/** The same body parsed, an answer of the same size and shape written by a schema. */
function startConstant(answer: string): Promise<string> {
  const constant = JSON.parse(answer) as Record<string, unknown>;
  const app = Fastify();
  app.post('/v1/quota/take', { schema: { response: { 200: schemaOf(constant) } } }, async () => constant);
  return app.listen({ host: '127.0.0.1', port: 0 });
}

function schemaOf(value: unknown): object {
  if (value === null) return { type: 'null' };
  if (Array.isArray(value)) return { type: 'array', items: schemaOf(value[0] ?? null) };
  if (typeof value === 'object') {
    const properties = Object.entries(value).map(([name, one]) => [name, schemaOf(one)]);
    return { type: 'object', properties: Object.fromEntries(properties) };
  }
  return { type: typeof value };
}
