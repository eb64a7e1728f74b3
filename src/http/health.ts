/** Is the process alive, and can it serve? For supervisors and load balancers, so no key is asked for. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { Cluster } from 'ioredis';
import { z } from 'zod';
import type { Engine } from '../fleet/engine.ts';
import { clockKeys } from '../redis/keys.ts';
import type { RouteDocs } from './openapi.ts';

export type Readiness = { ok: boolean; problems: string[] };

/** A probe waits a second or two itself: no answer within this is an answer. Real time. */
const ANSWERS_WITHIN_MS = 1_500;

const ALIVE: RouteDocs = {
  summary: 'Is the process alive',
  id: 'isAlive',
  answers: { 200: z.strictObject({ ok: z.literal(true) }) },
};
const ReadyAnswer = z
  .strictObject({
    ok: z.boolean(),
    problems: z.array(z.string()).describe('What is wrong, in sentences.'),
    workerIsRunning: z.boolean().optional().describe('Where the worker runs in the same process.'),
  })
  .meta({ id: 'Readiness' });
const READY: RouteDocs = {
  summary: 'Can it serve',
  id: 'isReady',
  answers: { 200: ReadyAnswer, 503: ReadyAnswer },
};

export function registerHealth(
  app: FastifyInstance,
  ready: () => Promise<Readiness>,
  workerIsRunning: (() => boolean) | undefined,
): void {
  const open = { scope: 'nobody', quiet: true } as const;

  app.get('/healthz', { config: { ...open, docs: ALIVE } }, async () => ({ ok: true }));

  app.get('/readyz', { config: { ...open, docs: READY } }, async (_request, reply) => {
    const { ok, problems } = await inTime(ready);
    const worker = workerIsRunning ? { workerIsRunning: workerIsRunning() } : {};
    return reply.code(ok ? 200 : 503).send({ ok, problems, ...worker });
  });
}

async function inTime(ready: () => Promise<Readiness>): Promise<Readiness> {
  const over = new AbortController();
  try {
    return await Promise.race([
      ready(),
      sleep(
        ANSWERS_WITHIN_MS,
        { ok: false, problems: ['Redis does not answer'] },
        { signal: over.signal, ref: false },
      ),
    ]);
  } catch (error) {
    return { ok: false, problems: [error instanceof Error ? error.message : String(error)] };
  } finally {
    over.abort();
  }
}

/** Redis answers, takes writes and holds the database that this process opened. */
export async function checkReady({ scripts }: Engine): Promise<Readiness> {
  const problems: string[] = [];
  try {
    const { redis } = scripts;
    const [mode, state] = await Promise.all([
      redis.get(clockKeys.mode),
      redis instanceof Cluster ? redis.cluster('INFO') : redis.info('replication'),
    ]);
    const wanted = scripts.testClock ? 'test' : 'real';
    if (mode === null)
      problems.push('the database in Redis is empty or is another one; restart Warmline to open it');
    else if (mode !== wanted)
      problems.push(`the database in Redis runs on a ${mode} clock, this process on a ${wanted} one`);
    if (/^role:slave/m.test(state)) problems.push('Redis is a replica now and takes no writes');
    if (/^cluster_state:fail/m.test(state))
      problems.push('some slots of the Redis Cluster are served by no node');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    problems.push(
      /^LOADING/.test(why) ? 'Redis is still loading its data' : `Redis does not answer (${why})`,
    );
  }
  return { ok: problems.length === 0, problems };
}
