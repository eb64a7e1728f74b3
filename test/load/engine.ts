/** `warmline serve` as it is deployed, in a process of its own, and what it says about itself at `/metrics`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { WARMLINE } from '../support/warmline.ts';

export const ADMIN_KEY = 'a-key-for-half-an-hour-of-load';

export type EngineFigures = {
  rssBytes: number;
  heapBytes: number | null;
  loopP99Ms: number;
  cpuSeconds: number;
};

export type RunningEngine = {
  readonly pid: number;
  readonly url: string;
  /** @param collect also what its heap holds, after a collection */
  figures(collect: boolean): Promise<EngineFigures>;
  /** What it complained of, if it did. */
  stderr(): string;
  /** In order, as an operator does. @returns its exit code */
  stop(): Promise<number | string>;
  kill(): void;
};

const COLLECT = new URL('./children/collect.mjs', import.meta.url).href;
const STARTS_WITHIN_MS = 60_000;
/** A signal is heard in the next turn of its event loop. */
const HEARS_WITHIN_MS = 100;

export async function startEngine(redisUrl: string): Promise<RunningEngine> {
  const dataDir = await mkdtemp(join(tmpdir(), 'warmline-load-'));
  // As `npm start` does.
  const program = ['--max-semi-space-size=64', WARMLINE, 'serve'];
  const child = spawn(process.execPath, ['--expose-gc', '--import', COLLECT, ...program], {
    env: {
      ...process.env,
      ...{ REDIS_URL: redisUrl, PORT: '0', WARMLINE_DATA_DIR: dataDir, WARMLINE_API_KEY: ADMIN_KEY },
      ...{ WARMLINE_COOLDOWN: 'PT1M', WARMLINE_RATE_LIMIT: '0', LOG_LEVEL: 'info' },
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // Also when whoever started it is ended in the middle.
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = once(child, 'exit').then(([code, signal]) => {
    process.off('exit', kill);
    rmSync(dataDir, { recursive: true, force: true });
    return (code ?? signal) as number | string;
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr = (stderr + text).slice(-4_000);
  });
  const late = setTimeout(() => child.kill('SIGKILL'), STARTS_WITHIN_MS);
  const url = await whereItAnswers(child.stdout);
  clearTimeout(late);
  if (!url) throw new Error(`it did not start (${await ended}): ${stderr}`);
  return {
    pid: child.pid!,
    url,
    stderr: () => stderr,
    async figures(collect) {
      if (collect) {
        child.kill('SIGUSR2');
        await sleep(HEARS_WITHIN_MS);
      }
      const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`GET /metrics answers ${answer.status}`);
      const read = (name: string) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1] ?? Number.NaN);
      return {
        rssBytes: read('process_resident_memory_bytes'),
        heapBytes: collect ? read('nodejs_heap_size_used_bytes') : null,
        loopP99Ms: read('nodejs_eventloop_lag_p99_seconds') * 1000,
        cpuSeconds: read('process_cpu_seconds_total'),
      };
    },
    async stop() {
      child.kill('SIGTERM');
      return ended;
    },
    kill,
  };
}

/** Its log tells; what follows is read by nobody. */
async function whereItAnswers(stdout: Readable): Promise<string | null> {
  let url: string | null = null;
  for await (const line of createInterface(stdout)) {
    url = /Warmline answers at (http:\/\/[^;"]+);/.exec(line)?.[1] ?? null;
    if (url) break;
  }
  stdout.resume();
  return url;
}
