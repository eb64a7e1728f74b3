/** `warmline serve` with all of its own, as a newcomer starts it, and a shell in which the commands of the pages run. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findRedisServer } from '../../src/runtime/redis-binary.ts';
import { eventually } from '../support/processes.ts';
import { WARMLINE } from '../support/warmline.ts';
import { root } from './page.ts';

export const run = promisify(execFile);

export interface Served {
  readonly env: NodeJS.ProcessEnv;
  readonly url: string;
  readonly key: string;
  readonly redisUrl: string;
  /** A folder of its own, in which the shell runs; `.warmline` is in it. */
  readonly home: string;
  /** Runs a block as a person would paste it, and stops at the first line that fails. */
  shell(script: string): Promise<string>;
  /** Runs a program of a page; `warmline/sender` and the others are what package.json exports. */
  program(source: string): Promise<string>;
  stop(): Promise<void>;
}

export async function serve(more: NodeJS.ProcessEnv = {}): Promise<Served> {
  const home = mkdtempSync(join(tmpdir(), 'warmline-docs-'));
  const dataDir = join(home, '.warmline');
  const server = spawn(process.execPath, [WARMLINE, 'serve'], {
    cwd: root,
    env: {
      ...process.env,
      REDIS_URL: '',
      PORT: '0',
      WARMLINE_DATA_DIR: dataDir,
      LOG_LEVEL: 'info',
      ...more,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(server, 'exit');
  let out = '';
  server.stdout.on('data', (chunk) => {
    out += chunk;
  });
  await eventually('the server answers', () => out.includes('Warmline answers at'), 30_000);
  const { url: redisUrl } = JSON.parse(readFileSync(join(dataDir, 'redis.json'), 'utf8'));
  const url = /answers at (http:[^;"]+);/.exec(out)![1]!;
  const key = readFileSync(join(dataDir, 'api-key'), 'utf8').trim();
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    WARMLINE_DATA_DIR: dataDir,
    URL: url,
    KEY: key,
    WARMLINE_URL: url,
    WARMLINE_API_KEY: key,
    REDIS_URL: redisUrl,
    NO_COLOR: '1',
    // The command as it was built from these sources, in the place of an installed one.
    WARMLINE_RUN: `"${process.execPath}" "${WARMLINE}"`,
  };
  return {
    env,
    url,
    key,
    redisUrl,
    home,
    async shell(script) {
      const commands = 'warmline() { eval "$WARMLINE_RUN" \'"$@"\'; }\nnpx() { "$@"; }\n';
      const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', commands + script], { cwd: home, env });
      return stdout;
    },
    async program(source) {
      const file = join(root, 'test', `.docs-${process.pid}-${Math.random().toString(36).slice(2)}.tmp.mjs`);
      // Inside the project, so that its packages and the project itself are found.
      writeFileSync(file, source);
      try {
        return (await run(process.execPath, [file], { cwd: root, env })).stdout;
      } finally {
        rmSync(file);
      }
    },
    async stop() {
      server.kill('SIGTERM');
      await ended;
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The folder of a redis-cli: on the PATH, or beside the redis-server that the project unpacked. `null` where there is none. */
export function redisCliFolder(): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const server = findRedisServer();
  if (server) folders.push(dirname(server));
  return folders.find((folder) => folder !== '' && existsSync(join(folder, 'redis-cli'))) ?? null;
}
