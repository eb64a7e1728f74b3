/** The real processes of a scenario: a Redis with its file on disk, `warmline serve` on it, workers, and senders. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connect } from '../../src/redis/connect.ts';
import { resolveAccount } from '../../src/redis/directory.ts';
import { createLimiter } from '../../src/redis/limiter.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import { type Program, startProgram } from '../support/processes.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { WARMLINE } from '../support/warmline.ts';
import type { LimitedIp, Sums } from './books.ts';
import { followLedger, openLedger } from './ledger.ts';
import { type Api, openOperator } from './operator.ts';
import { type Relay, startRelay } from './relay.ts';

const SENDER = new URL('./fixtures/sender.ts', import.meta.url);
const KEY = 'a-key-of-more-than-20-characters';
/** The API gives up on Redis after five seconds; whoever asks it waits a little longer. */
const ANSWERS_WITHIN_MS = 8_000;

export type StageOptions = {
  /** Further settings of redis-server. */
  config: readonly string[];
  /** All processes reach Redis through a relay. */
  relayed?: boolean;
  /** A command that starts redis-server: `['sh', '-c', '... exec "$@"', 'sh']`. */
  through?: readonly string[];
  senders: number;
  /** Besides the one in `warmline serve`. */
  workers?: number;
};

export type SenderProcess = {
  program: Program;
  readonly ledger: ReturnType<typeof followLedger>;
};

/** A `warmline` process whose ticks can be counted. */
export type WorkerProcess = { program: Program; metricsUrl: string };

export type Stage = Awaited<ReturnType<typeof startStage>>;

export async function startStage({ config, relayed, through, senders, workers = 0 }: StageOptions) {
  const folder = mkdtempSync(join(tmpdir(), 'warmline-faults-'));
  const programs = new Set<Program>();
  let redis: RedisServer = await startRedisServer({ config, ...(through ? { through } : {}) });
  const relay: Relay | null = relayed ? await startRelay(redis.port) : null;
  const url = relay?.url ?? redis.url;
  let ledgers = 0;
  const newFile = (name: string) => join(folder, `${name}-${ledgers++}`);

  async function startSender(): Promise<SenderProcess> {
    const file = newFile('sender');
    const program = startProgram(SENDER, [url, file]);
    programs.add(program);
    await program.line();
    return { program, ledger: followLedger(file) };
  }

  async function startWarmline(command: 'serve' | 'worker'): Promise<WorkerProcess & { apiUrl: string }> {
    const program = startProgram(pathToFileURL(WARMLINE), [command], {
      ...process.env,
      ...{ REDIS_URL: url, PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'info' },
      ...{ WARMLINE_DATA_DIR: newFile(command), WARMLINE_API_KEY: KEY, WARMLINE_RATE_LIMIT: '0' },
      WARMLINE_INVENTORY: '10.8.0.0/20',
    });
    programs.add(program);
    let [metricsUrl, apiUrl] = ['', ''];
    for (;;) {
      const line = await program.line();
      const found = /"url":"(http:[^"]+)"/.exec(line)?.[1];
      if (found && line.includes('metrics are open')) metricsUrl = found;
      if (found && line.includes('Warmline answers')) apiUrl = found;
      if (apiUrl || line.includes('"running; stop with')) break;
    }
    // What it says from now on is read and thrown away, or its pipe would fill.
    void (async () => {
      for (;;) await program.line();
    })().catch(() => {});
    return { program, metricsUrl, apiUrl };
  }

  async function stop() {
    for (const program of programs) program.child.kill('SIGKILL');
    await Promise.all([...programs].map(({ ended }) => ended));
    relay?.stop();
    await redis.stop();
    rmSync(folder, { recursive: true, force: true });
  }

  try {
    const serve = await startWarmline('serve');
    const api: Api = async (method, path, body) => {
      const response = await fetch(new URL(path, serve.apiUrl), {
        method,
        headers: {
          authorization: `Bearer ${KEY}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const [allSenders, allWorkers] = await Promise.all([
      Promise.all(Array.from({ length: senders }, startSender)),
      Promise.all(Array.from({ length: workers }, () => startWarmline('worker'))),
    ]);
    const bring = async (status: 'provisioning' | 'active', addresses: readonly string[]) => {
      const { body } = await api('POST', '/v1/inventory', { addresses, account: 'default', status });
      return body.data as { id: string; ipAddress: string }[];
    };
    const [free] = await bring('active', ['10.9.0.1']);

    return {
      api,
      bring,
      free: free!,
      relay,
      url,
      senders: allSenders,
      workers: [serve, ...allWorkers] as WorkerProcess[],
      operator: openOperator(api, openLedger(newFile('operator'))),
      get redis() {
        return redis;
      },
      /** Another Redis is the one from now on; the one before is stopped. */
      async replaceRedis(next: RedisServer) {
        const before = redis;
        redis = next;
        await before.stop();
      },
      startSender,
      startWorker: () => startWarmline('worker'),
      forget: (program: Program) => programs.delete(program),
      /** What Redis has counted today, asked on a connection of its own. */
      async charged(ips: readonly Pick<LimitedIp, 'id' | 'address'>[]): Promise<Sums> {
        const connection = await connect(redis.url);
        try {
          const account = await resolveAccount(connection, 'default');
          const limiter = createLimiter(createScripts(connection), account!);
          const charged = new Map<string, number>();
          for (const { id, address } of ips) {
            const { counter } = await limiter.look(address, id);
            if (counter) charged.set(address, counter.state.dayUsed);
          }
          return charged;
        } finally {
          connection.disconnect();
        }
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Ticks that this worker has ended well; `null` while it does not say. */
export async function ticksOf({ metricsUrl }: WorkerProcess): Promise<number | null> {
  try {
    const response = await fetch(metricsUrl, { signal: AbortSignal.timeout(3_000) });
    const counts = (await response.text()).matchAll(
      /^warmline_ticks_total\{[^}]*outcome="(?!failed)[^}]*\} (\d+)$/gm,
    );
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  } catch {
    return null;
  }
}
