/**
 * Puts a process together from its parts, in the order in which they need each other, and takes it apart the other way
 * round: Redis first and last.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ensureDefaultAccount } from '../fleet/accounts.ts';
import { replaceEnvironmentKey } from '../fleet/api-keys.ts';
import { openDatabase } from '../fleet/database.ts';
import { type Engine, randomId } from '../fleet/engine.ts';
import { addToInventory } from '../fleet/inventory.ts';
import { checkServer } from '../redis/check.ts';
import { connect, type RedisConnection, RedisRefused } from '../redis/connect.ts';
import { hideSecrets } from '../redis/node-urls.ts';
import { timeRoundTrips } from '../redis/round-trip.ts';
import { createScripts } from '../redis/scripts.ts';
import { type Config, ConfigError, readConfig } from '../runtime/config.ts';
import { readRedisJson, startEmbeddedRedis } from '../runtime/embedded-redis.ts';
import { createLog } from '../runtime/log.ts';
import { createRegistry, type Registry, roundTripHistogram, serveMetrics } from '../runtime/metrics.ts';
import { loadSchedules } from '../runtime/schedules.ts';
import { createShutdown, type Shutdown } from '../runtime/shutdown.ts';

type Parts = {
  name: 'serve' | 'api' | 'worker';
  api: boolean;
  worker: boolean;
  /** Start a Redis of our own when the environment names none. */
  embedded: boolean;
};

/** Docker kills ten seconds after it asked. A time of quiet comes before. */
const STOP_WITHIN_MS = 9_000;
/** A Redis that starts together with us (compose, a reboot) may need a while. */
const WAIT_FOR_REDIS_MS = 30_000;

/** Runs until it is told to stop. What keeps it from starting is said in sentences, and ends it with 1 (2: the settings). */
export async function runProcess(parts: Parts): Promise<void> {
  const config = settings();
  if (!config) return;
  const log = createLog({ level: config.logLevel });
  const shutdown = createShutdown({ log, deadlineMs: STOP_WITHIN_MS });
  try {
    await start(parts, config, log, shutdown);
  } catch (error) {
    if (shutdown.signal.aborted) return;
    const expected = error instanceof Error && !(error instanceof TypeError);
    if (expected) log.debug({ err: error }, 'could not start');
    process.stderr.write(
      `warmline: ${expected ? error.message : error instanceof Error ? error.stack : error}\n`,
    );
    await shutdown.exit('it could not start', { failed: true });
  }
}

function settings(): Config | null {
  try {
    return readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) process.stderr.write(`warmline: ${problem}\n`);
    process.exitCode = 2;
    return null;
  }
}

async function start(parts: Parts, config: Config, log: Logger, shutdown: Shutdown): Promise<void> {
  const book = await loadSchedules({ folder: config.schedulesDir });
  const redisUrl = await findRedis(parts, config, log, shutdown);
  const redis = await connectPatiently(redisUrl, config, log, shutdown);
  shutdown.add('redis connection', async () => redis.disconnect());
  await examine(redis, log);

  const { testClock } = await openDatabase(redis, config.testClockMs);
  const registry = createRegistry();
  const { scripts, stop } = timeRoundTrips(createScripts(redis, { testClock }), roundTripHistogram(registry));
  shutdown.add('round trips', async () => stop());
  const engine: Engine = { scripts, book, cooldownMs: config.cooldownMs, newId: randomId };
  await ensureDefaultAccount(engine);
  if (testClock)
    log.warn('running on a test clock: time stands still until POST /v1/test-clock/advance moves it');
  if (config.inventory.length > 0) {
    const added = await addToInventory(engine, { addresses: config.inventory }, { skipKnown: true }).catch(
      (error: Error) => {
        throw new Error(`WARMLINE_INVENTORY: ${error.message}`, { cause: error });
      },
    );
    log.info({ added, named: config.inventory.length }, 'inventory of the environment added');
  }

  if (parts.worker) {
    const { startWorker } = await import('../worker/worker.ts');
    const worker = await startWorker({ engine, redisUrl, log: log.child({ part: 'worker' }), registry });
    shutdown.add('worker', () => worker.stop());
    const { startWebhooks } = await import('../worker/webhooks.ts');
    const webhooks = await startWebhooks({
      ...{ engine, redisUrl, registry, log: log.child({ part: 'webhooks' }) },
      allowPrivate: config.webhooksMayBePrivate,
    });
    shutdown.add('webhooks', () => webhooks.stop());
  }
  if (config.metrics) await startMetrics(registry, config.metrics, log, shutdown);
  if (parts.api) await startApi({ engine, registry }, config, log, shutdown);
  else log.info({ redis: hideSecrets(redisUrl) }, 'running; stop with Ctrl-C');
}

/** The Redis of the environment; else one of our own; else the one that `serve` runs in the same data dir. */
async function findRedis(parts: Parts, config: Config, log: Logger, shutdown: Shutdown): Promise<string> {
  if (config.redisUrls.length > 0) return config.redisUrls.join(',');
  if (parts.embedded) {
    const embedded = await startEmbeddedRedis({
      dataDir: config.dataDir,
      log,
      onExit: (because) => {
        process.stderr.write(`warmline: ${because} Stopping, since nothing may be sent without it.\n`);
        void shutdown.exit('redis ended', { failed: true });
      },
    });
    shutdown.add('embedded redis', () => embedded.stop());
    return embedded.url;
  }
  const running = readRedisJson(config.dataDir);
  if (running) return running.url;
  throw new Error(
    `no Redis is named and none runs in ${config.dataDir}; set REDIS_URL (example: redis://127.0.0.1:6379), or use "warmline serve", which brings its own`,
  );
}

async function connectPatiently(
  url: string,
  { redisTls }: Config,
  log: Logger,
  shutdown: Shutdown,
): Promise<RedisConnection> {
  const deadline = performance.now() + WAIT_FOR_REDIS_MS;
  for (;;) {
    try {
      return await connect(url, { tls: redisTls ?? undefined });
    } catch (error) {
      const isOver = performance.now() > deadline || shutdown.signal.aborted;
      if (isOver || error instanceof RedisRefused) throw error;
      log.warn({ redis: hideSecrets(url) }, 'Redis does not answer yet; trying again');
      await sleep(1_000, undefined, { signal: shutdown.signal });
    }
  }
}

async function examine(redis: RedisConnection, log: Logger): Promise<void> {
  const { fatal, warnings, version } = await checkServer(redis);
  for (const warning of warnings) log.warn({ redis: version }, warning);
  if (fatal.length > 0) throw new Error(fatal.join('; '));
}

async function startMetrics(
  registry: Registry,
  at: { host: string; port: number },
  log: Logger,
  shutdown: Shutdown,
): Promise<void> {
  const metrics = await serveMetrics(registry, at).catch((error: NodeJS.ErrnoException) => {
    const { message } = whyNoListening(error, at);
    throw new Error(`METRICS_PORT: ${message}`, { cause: error });
  });
  shutdown.add('metrics', () => metrics.close());
  log.info({ url: metrics.url }, 'metrics are open to whoever reaches this address');
}

async function startApi(
  { engine, registry }: { engine: Engine; registry: Registry },
  config: Config,
  log: Logger,
  shutdown: Shutdown,
): Promise<void> {
  const { apiKey, keep } = apiKeyOf(config);
  await replaceEnvironmentKey(engine, apiKey);
  const { createApi } = await import('../http/server.ts');
  const api = await createApi({
    engine,
    log: log.child({ part: 'api' }),
    leaving: shutdown.signal,
    rateLimitPerMinute: config.rateLimitPerMinute,
    registry,
    webhooksMayBePrivate: config.webhooksMayBePrivate,
  });
  shutdown.add('api', () => api.close());
  const address = await api
    .listen({ host: config.host, port: config.port })
    .catch((error: NodeJS.ErrnoException) => {
      throw whyNoListening(error, config);
    });

  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const keptIn = keep?.();
  const whereabouts = join(config.dataDir, 'api.json');
  writeFileSync(whereabouts, `${JSON.stringify({ url: address })}\n`, { mode: 0o600 });
  shutdown.add('api.json', async () => rmSync(whereabouts, { force: true }));
  log.info({ url: address }, `Warmline answers at ${address}; stop with Ctrl-C`);
  if (config.quietMs > 0) {
    shutdown.quietFor(config.quietMs, () =>
      log.info({ quietMs: config.quietMs }, 'not ready any more; requests that still come are answered'),
    );
  }
  // The one time that a key is shown, and never in the log.
  if (keptIn)
    process.stderr.write(`\nA key for the API was made and kept in ${keptIn}:\n\n    ${apiKey}\n\n`);
}

/**
 * The key of the environment; else the one kept in the data dir; else a new one, which `keep` writes there for nobody else
 * to read. A start that fails keeps none: the one that succeeds is to show it.
 */
function apiKeyOf(config: Config): { apiKey: string; keep?: () => string } {
  if (config.apiKey) return { apiKey: config.apiKey };
  const file = join(config.dataDir, 'api-key');
  const kept = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  if (kept) return { apiKey: kept };
  const apiKey = `wl_${randomBytes(24).toString('base64url')}`;
  const keep = () => {
    writeFileSync(file, `${apiKey}\n`, { mode: 0o600 });
    return file;
  };
  return { apiKey, keep };
}

/** Why it cannot listen, and what to change. */
function whyNoListening(error: NodeJS.ErrnoException, { host, port }: Pick<Config, 'host' | 'port'>): Error {
  const sentences: Record<string, string> = {
    EADDRINUSE: `${host}:${port} is in use by another program; set PORT to another one (0 takes any)`,
    EADDRNOTAVAIL: `${host} is no address of this machine; set HOST to one that it has (0.0.0.0 takes all)`,
    EACCES: `this user may not listen on port ${port}; set PORT to 1024 or more`,
    ENOTFOUND: `there is no host ${host}; set HOST to an address of this machine (0.0.0.0 takes all)`,
  };
  const sentence = sentences[error.code ?? ''];
  return sentence === undefined ? error : new Error(sentence, { cause: error });
}
