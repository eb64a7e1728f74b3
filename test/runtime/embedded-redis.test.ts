import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type EmbeddedRedis, readRedisJson, startEmbeddedRedis } from '../../src/runtime/embedded-redis.ts';
import { identify, parseIdentity } from '../../src/runtime/process-identity.ts';
import { eventually, killPrograms, startProgram } from '../support/processes.ts';

/** The Redis of our own: found by others, stopped last, never left alone, never lost. With real processes and real kills. */

const parent = realpathSync(mkdtempSync(join(tmpdir(), 'warmline-embedded-')));
const started: EmbeddedRedis[] = [];
const folders: string[] = [];
const log = { info() {}, warn() {}, error() {} };

/** With what makes trouble in paths: a blank, quotes, letters beyond ASCII. */
function newFolder(): string {
  const folder = join(parent, `d\u00e4ta "${folders.length}" dir`);
  folders.push(folder);
  return folder;
}

async function startHere(
  dataDir: string,
  onExit: (because: string) => void = () => {},
): Promise<EmbeddedRedis> {
  const redis = await startEmbeddedRedis({ dataDir, log, onExit });
  started.push(redis);
  return redis;
}

function startEngine(dataDir: string) {
  const program = startProgram(new URL('./fixtures/engine.ts', import.meta.url), [dataDir]);
  return { ...program, next: async () => JSON.parse(await program.line()) };
}

async function inRedis<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1 });
  redis.on('error', () => {});
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

/** Redis and its keeper, as the pid file names them. */
function processesOf(dataDir: string): { redis: number; keeper: number } {
  const [, redis = '', keeper = ''] = readFileSync(join(dataDir, 'redis.pid'), 'utf8').split('\n');
  return { redis: parseIdentity(redis)?.pid ?? 0, keeper: parseIdentity(keeper)?.pid ?? 0 };
}

const hasEnded = (pid: number) => identify(pid) === null;

/** Kills the owner and the keeper so that neither can do anything about Redis: the keeper is made to stand still first. */
async function orphan(engine: { pid: number; ended: Promise<unknown> }, dataDir: string): Promise<void> {
  const { keeper } = processesOf(dataDir);
  process.kill(keeper, 'SIGSTOP');
  process.kill(engine.pid, 'SIGKILL');
  await engine.ended;
  process.kill(keeper, 'SIGKILL');
  await eventually('the keeper has ended', () => hasEnded(keeper));
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((redis) => redis.stop()));
  killPrograms();
});
afterAll(async () => {
  // Killed owners take their Redis with them; wait, so that nobody writes into the folder that is removed.
  for (const folder of folders) {
    const found = existsSync(join(folder, 'redis.pid')) ? processesOf(folder).redis : 0;
    if (found > 0) await eventually(`redis ${found} has ended`, () => hasEnded(found));
  }
  rmSync(parent, { recursive: true, force: true });
});

describe('starting', () => {
  test('gives a private Redis that keeps what it acknowledged', async () => {
    const dataDir = newFolder();
    const redis = await startHere(dataDir);
    expect(redis.adopted).toBe(false);
    await inRedis(redis.url, async (client) => {
      const settings = ['bind', 'appendonly', 'appendfsync', 'save', 'maxmemory-policy', 'dir'];
      const found = await Promise.all(
        settings.map(async (name) => ((await client.config('GET', name)) as string[])[1]),
      );
      expect(found).toEqual(['127.0.0.1', 'yes', 'always', '', 'noeviction', dataDir]);
    });
    const { port, password } = new URL(redis.url);
    expect(password.length).toBeGreaterThanOrEqual(32);
    await expect(inRedis(`redis://127.0.0.1:${port}`, (client) => client.get('x'))).rejects.toThrow('NOAUTH');
  });

  test('shows its data and its password to nobody else', async () => {
    const dataDir = newFolder();
    // Also a folder that was there before, open to all.
    mkdirSync(dataDir, { mode: 0o755 });
    const redis = await startHere(dataDir);
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    for (const name of ['redis.json', 'redis.conf', 'redis.log', 'redis.pid']) {
      expect([name, statSync(join(dataDir, name)).mode & 0o777]).toEqual([name, 0o600]);
    }
    if (existsSync('/proc/self/cmdline')) {
      const { redis: server, keeper } = processesOf(dataDir);
      const shown = [server, keeper].map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8')).join();
      expect(shown).toContain('redis');
      expect(shown).not.toContain(new URL(redis.url).password);
    }
  });

  test('tells other commands where it is, until it stops', async () => {
    const dataDir = newFolder();
    expect(readRedisJson(dataDir)).toBeNull();
    const redis = await startHere(dataDir);
    const found = readRedisJson(dataDir);
    expect(found).toMatchObject({ url: redis.url, pid: redis.pid, port: Number(new URL(redis.url).port) });
    expect(Date.parse(found?.startedAt ?? '')).toBeLessThanOrEqual(Date.now());
    await redis.stop();
    await redis.stop();
    expect(readRedisJson(dataDir)).toBeNull();
    expect(hasEnded(redis.pid)).toBe(true);
    // The data, the log and the number of the lock; no password, no pid.
    expect(readdirSync(dataDir).sort()).toEqual(['appendonlydir', 'lock.2', 'redis.log']);
  });

  test('reads no redis.json that is damaged or of a process that has ended', () => {
    const dataDir = newFolder();
    mkdirSync(dataDir);
    const write = (text: string) => writeFileSync(join(dataDir, 'redis.json'), text);
    write('{"url": "redis://');
    expect(readRedisJson(dataDir)).toBeNull();
    write(
      JSON.stringify({
        url: 'redis://:x@127.0.0.1:1',
        pid: 4_194_305,
        port: 1,
        startedAt: '2026-01-01T00:00:00Z',
      }),
    );
    expect(readRedisJson(dataDir)).toBeNull();
  });

  test('is refused while another process uses the data dir', async () => {
    const dataDir = newFolder();
    const engine = startEngine(dataDir);
    await engine.next();
    await expect(startHere(dataDir)).rejects.toThrow(
      `The data dir ${dataDir} is in use by process ${engine.pid}: stop that process first, or set WARMLINE_DATA_DIR to another folder.`,
    );
  });

  test('says in one sentence why a data dir cannot be used', async () => {
    const file = join(parent, 'a file');
    writeFileSync(file, '');
    await expect(startHere(file)).rejects.toThrow(
      `The data dir ${file} cannot be used (EEXIST): set WARMLINE_DATA_DIR to a folder that you own.`,
    );
  });

  test('shows the last lines of a Redis that cannot read its append-only file, and how to repair it', async () => {
    const dataDir = newFolder();
    const redis = await startHere(dataDir);
    await inRedis(redis.url, (client) => client.mset({ a: 'first', b: 'second' }));
    await redis.stop();
    const file = join(dataDir, 'appendonlydir', 'appendonly.aof.1.incr.aof');
    writeFileSync(file, readFileSync(file, 'utf8').replace('$4', '$9'));
    const failure = await startHere(dataDir).catch((error) => error.message);
    expect(failure).toContain(
      `the append-only file in ${join(dataDir, 'appendonlydir')} is damaged, so copy that folder and then run redis-check-aof --fix`,
    );
    expect(failure).toContain('Bad file format reading the append only file');
    // The failed start leaves nothing behind that blocks the next.
    rmSync(join(dataDir, 'appendonlydir'), { recursive: true });
    await startHere(dataDir);
  });
});

describe('being killed', () => {
  test('the owner: Redis stops by itself', async () => {
    const dataDir = newFolder();
    const engine = startEngine(dataDir);
    const { pid, url } = await engine.next();
    await inRedis(url, (client) => client.set('acknowledged', 'yes'));
    process.kill(engine.pid, 'SIGKILL');
    await eventually('redis has ended', () => hasEnded(pid), 5_000);

    const again = await startHere(dataDir);
    expect(again.adopted).toBe(false);
    expect(await inRedis(again.url, (client) => client.get('acknowledged'))).toBe('yes');
  });

  test('the owner and the keeper: the next start adopts Redis, and gives it a keeper again', async () => {
    const dataDir = newFolder();
    const engine = startEngine(dataDir);
    const { pid, url } = await engine.next();
    await inRedis(url, (client) => client.set('acknowledged', 'yes'));
    await orphan(engine, dataDir);
    expect(hasEnded(pid)).toBe(false);

    const adopter = startEngine(dataDir);
    expect(await adopter.next()).toEqual({ url, pid, adopted: true });
    expect(await inRedis(url, (client) => client.get('acknowledged'))).toBe('yes');
    await eventually('the new keeper is known', () => !hasEnded(processesOf(dataDir).keeper));
    process.kill(adopter.pid, 'SIGKILL');
    await eventually('redis has ended', () => hasEnded(pid), 5_000);
  });

  test('the owner and the keeper: an adopted Redis is stopped at the end', async () => {
    const dataDir = newFolder();
    const engine = startEngine(dataDir);
    const { pid } = await engine.next();
    await orphan(engine, dataDir);
    const redis = await startHere(dataDir);
    expect(redis).toMatchObject({ pid, adopted: true });
    await redis.stop();
    expect(hasEnded(pid)).toBe(true);
    expect(readRedisJson(dataDir)).toBeNull();
  });

  test('the owner before it told where Redis is: nobody used that Redis, so it is replaced', async () => {
    const dataDir = newFolder();
    const engine = startEngine(dataDir);
    const { pid } = await engine.next();
    await orphan(engine, dataDir);
    rmSync(join(dataDir, 'redis.json'));
    const redis = await startHere(dataDir);
    expect(redis.adopted).toBe(false);
    expect(hasEnded(pid)).toBe(true);
  });

  test('the owner, while Redis takes its time to stop: the next start waits for it', async () => {
    const dataDir = newFolder();
    const engine = startEngine(dataDir);
    const { pid } = await engine.next();
    process.kill(pid, 'SIGSTOP');
    process.kill(engine.pid, 'SIGKILL');
    await engine.ended;
    const next = startHere(dataDir);
    const first = await Promise.race([
      next,
      new Promise((resolve) => setTimeout(resolve, 300, 'still waiting')),
    ]);
    expect(first).toBe('still waiting');
    process.kill(pid, 'SIGCONT');
    expect((await next).adopted).toBe(false);
    expect(hasEnded(pid)).toBe(true);
  });

  test('the keeper: another takes its place', async () => {
    const dataDir = newFolder();
    const redis = await startHere(dataDir);
    const { keeper } = processesOf(dataDir);
    process.kill(keeper, 'SIGKILL');
    await eventually('there is a new keeper', () => {
      const now = processesOf(dataDir);
      return now.keeper !== keeper && !hasEnded(now.keeper);
    });
    expect(processesOf(dataDir).redis).toBe(redis.pid);
  });

  test('Redis itself: the owner is told, and no acknowledged write is lost', async () => {
    const dataDir = newFolder();
    let tell: (because: string) => void = () => {};
    const because = new Promise<string>((resolve) => {
      tell = resolve;
    });
    const redis = await startHere(dataDir, tell);
    const acknowledged = await inRedis(redis.url, async (client) => {
      let count = 0;
      try {
        for (;;) {
          count = await client.incr('count');
          if (count === 200) process.kill(redis.pid, 'SIGKILL');
        }
      } catch {
        return count;
      }
    });
    expect(await because).toMatch(`redis-server ${redis.pid} ended by itself (killed by SIGKILL)`);
    expect(readRedisJson(dataDir)).toBeNull();
    await redis.stop();
    const again = await startHere(dataDir);
    const kept = Number(await inRedis(again.url, (client) => client.get('count')));
    // One more than was acknowledged may have reached the disk.
    expect(kept - acknowledged).toBeGreaterThanOrEqual(0);
    expect(kept - acknowledged).toBeLessThanOrEqual(1);
  });
});

describe('stopping', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'on %s keeps what was acknowledged and leaves no process',
    async (signal) => {
      const dataDir = newFolder();
      const engine = startEngine(dataDir);
      const { pid, url } = await engine.next();
      await inRedis(url, (client) => client.set('acknowledged', signal));
      const { keeper } = processesOf(dataDir);
      // To the whole group, as a terminal does with a Ctrl-C: Redis is not in it.
      process.kill(-engine.pid, signal);
      expect(await engine.ended).toBe(0);
      expect([hasEnded(pid), readRedisJson(dataDir)]).toEqual([true, null]);
      await eventually('the keeper has ended', () => hasEnded(keeper));
      const again = await startHere(dataDir);
      expect(await inRedis(again.url, (client) => client.get('acknowledged'))).toBe(signal);
    },
  );
});
