import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Where the redis-server of this machine is: the one named by WARMLINE_REDIS_SERVER, else on the PATH, else the one that
 * `scripts/setup` unpacked into the project. Too old ones are passed over: 7.0 brought the multi-part append-only file and
 * sharded scripts' rules that we rely on, and Valkey began at 7.2. scripts/setup.mjs looks in the same places, in the same order.
 */
export function findRedisServer(): string | null {
  const wanted = process.env.WARMLINE_REDIS_SERVER?.trim();
  if (wanted) return theOneWanted(wanted);
  const cached = join(packageRoot(), '.cache', 'redis', 'redis-server');
  return [...onPath('redis-server'), ...onPath('valkey-server'), cached].find(isNewEnough) ?? null;
}

/** Whoever names a server wants that one and no other, so a wrong name is an error. */
function theOneWanted(wanted: string): string {
  const found = wanted.includes('/') ? [resolve(wanted)].filter(isExecutable) : onPath(wanted);
  const [first] = found;
  if (first === undefined) {
    throw new Error(
      `WARMLINE_REDIS_SERVER: "${wanted}" is not a program that can be run (example: /usr/bin/redis-server).`,
    );
  }
  if (!isNewEnough(first)) {
    throw new Error(`WARMLINE_REDIS_SERVER: "${wanted}" is not Redis 7.0 or newer, nor Valkey 7.2 or newer.`);
  }
  return first;
}

function onPath(name: string): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => resolve(folder, name)).filter(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** `Redis server v=7.0.15 sha=...` or `Valkey server v=8.0.1 sha=...`; whatever does not say so is not one of them. */
function isNewEnough(path: string): boolean {
  if (!isExecutable(path)) return false;
  try {
    const said = execFileSync(path, ['--version'], {
      encoding: 'utf8',
      timeout: 5_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [, name, major, minor] = /(redis|valkey) server v=(\d+)\.(\d+)/i.exec(said) ?? [];
    const version = Number(major) * 100 + Number(minor);
    return version >= (name?.toLowerCase() === 'valkey' ? 702 : 700);
  } catch {
    return false;
  }
}

/** The folder of package.json: two floors up in the sources, three in dist. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder)
      throw new Error(`No package.json above ${import.meta.url}: the installation is incomplete.`);
    folder = parent;
  }
  return folder;
}
