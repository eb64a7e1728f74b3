/** `warmline api` and `worker` as they are deployed, in processes of their own, with one key. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, loaderOf } from '../support/processes.ts';
import { WARMLINE } from '../support/warmline.ts';

export const KEY = 'a-key-of-more-than-20-characters';

export type Deployed = {
  readonly pid: number;
  readonly url: string;
  /** The exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>;
  readonly log: () => string;
  kill(signal: NodeJS.Signals): void;
};

const running = new Map<Deployed, string>();

/** What a test that failed has left. */
export function killAll(): void {
  for (const [each, folder] of running) {
    each.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
  running.clear();
}

/** @param main the program to run; with `.js` at its end a build of another version */
export async function deploy(
  command: 'api' | 'worker',
  redisUrl: string,
  env: NodeJS.ProcessEnv = {},
  main: string = WARMLINE,
): Promise<Deployed> {
  const folder = mkdtempSync(join(tmpdir(), 'warmline-deployed-'));
  const child = spawn(process.execPath, [...loaderOf(main), main, command], {
    env: {
      ...process.env,
      ...{ REDIS_URL: redisUrl, PORT: '0', LOG_LEVEL: 'info', WARMLINE_RATE_LIMIT: '0' },
      ...{ WARMLINE_DATA_DIR: folder, WARMLINE_API_KEY: KEY, ...env },
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      log += text;
    });
  }
  let hasEnded = false;
  const ended = once(child, 'exit').then(([code, signal]) => {
    hasEnded = true;
    return (code ?? signal) as number | string;
  });
  const isUp = () => (command === 'api' ? /Warmline answers at/ : /worker started[\s\S]*running/).test(log);
  const deployed: Deployed = {
    pid: child.pid!,
    get url() {
      return /Warmline answers at (http:\/\/[^;"]+);/.exec(log)?.[1] ?? '';
    },
    ended,
    log: () => log,
    kill: (signal) => void child.kill(signal),
  };
  running.set(deployed, folder);
  void ended.then(() => {
    running.delete(deployed);
    rmSync(folder, { recursive: true, force: true });
  });
  await eventually(`${command} is up`, () => hasEnded || isUp(), 400_000);
  if (!isUp()) throw new Error(`${command} did not start:\n${log}`);
  return deployed;
}
