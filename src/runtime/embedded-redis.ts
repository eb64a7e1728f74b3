import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { z } from 'zod';
import { lockDataDir } from './data-dir-lock.ts';
import { identify, isAlive, type ProcessIdentity, parseIdentity } from './process-identity.ts';
import { findRedisServer } from './redis-binary.ts';

/**
 * A real redis-server of our own, for whoever has none: a child on a loopback port of its own with a password nobody chose,
 * its data in the data dir, every acknowledged write on disk. It stands apart from us (no Ctrl-C reaches it, so it can be
 * stopped last) and never outlives us unseen: a keeper stops it when we are killed, and if the keeper was killed too, the
 * next start adopts it.
 */
export interface EmbeddedRedis {
  readonly url: string;
  readonly pid: number;
  /** True if it was already running: left by a process that was killed together with its keeper. */
  readonly adopted: boolean;
  /** Stops Redis and gives the data dir back. Call it after everybody else has stopped; twice does no harm. */
  stop(): Promise<void>;
}

export interface EmbeddedRedisOptions {
  readonly dataDir: string;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Told in one sentence when Redis ends although nobody asked it to. The data dir stays ours until `stop`. */
  readonly onExit?: (because: string) => void;
}

export class EmbeddedRedisError extends Error {
  readonly code = 'embedded_redis';

  constructor(message: string) {
    super(message);
    this.name = 'EmbeddedRedisError';
  }
}

const RedisJson = z.object({
  url: z.string(),
  pid: z.number().int().positive(),
  port: z.number().int().positive(),
  startedAt: z.string(),
});
export type RedisJson = z.infer<typeof RedisJson>;

/** Where the Redis of this data dir runs, or null if none does. For every command beside the one that started it. */
export function readRedisJson(dataDir: string): RedisJson | null {
  try {
    const found = RedisJson.parse(JSON.parse(readFileSync(join(dataDir, 'redis.json'), 'utf8')));
    return identify(found.pid) === null ? null : found;
  } catch {
    return null;
  }
}

const KEEPER = fileURLToPath(new URL('./redis-keeper.sh', import.meta.url));

/** A free port may be taken between our look and Redis's bind; five times in a row is no accident. */
const PORT_ATTEMPTS = 5;
/** From exec to a listening port takes 10 ms; a machine that needs 30 s has another problem. Loading may take longer. */
const LISTEN_DEADLINE_MS = 30_000;
/** The keeper kills after 20 s, so whoever waits for it waits a little longer. */
const END_DEADLINE_MS = 30_000;
/** Redis logs a few lines for a start and a rewrite; a megabyte is years of them, and one old file is kept. */
const LOG_MAX_BYTES = 1_000_000;

export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const dir = prepareDataDir(options.dataDir);
  const lock = await lockDataDir(dir);
  try {
    const server = (await adoptOrphan(dir, options)) ?? (await launch(dir, options));
    writePrivately(join(dir, 'redis.json'), `${JSON.stringify(server.found, null, 2)}\n`);
    let stopping: Promise<void> | undefined;
    return {
      url: server.found.url,
      pid: server.found.pid,
      adopted: server.adopted,
      stop() {
        stopping ??= stop(server, dir, options.log).finally(() => lock.release());
        return stopping;
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A redis-server that is ours: one that we launched, or one that we adopted. */
interface Server {
  readonly found: RedisJson;
  readonly identity: ProcessIdentity;
  readonly adopted: boolean;
  readonly keeper: Keeper;
  /** Settles when the process is gone. */
  readonly ended: Promise<string>;
  /** Set before Redis is asked to stop, so that its end is no news. */
  expectEnd(): void;
}

// ---- the data dir -------------------------------------------------------------------------------------------------------

function prepareDataDir(dataDir: string): string {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    // Also a folder that was there before: the password and the data are for nobody else.
    if ((statSync(dataDir).mode & 0o077) !== 0) chmodSync(dataDir, 0o700);
    return realpathSync(dataDir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new EmbeddedRedisError(
      `The data dir ${dataDir} cannot be used (${code}): set WARMLINE_DATA_DIR to a folder that you own.`,
    );
  }
}

/** Written aside and renamed, so that a reader sees the whole file or none. */
function writePrivately(path: string, text: string): void {
  const aside = `${path}.new`;
  rmSync(aside, { force: true });
  writeFileSync(aside, text, { mode: 0o600, flag: 'wx' });
  renameSync(aside, path);
}

const pidFileOf = (dir: string) => join(dir, 'redis.pid');
const logFileOf = (dir: string) => join(dir, 'redis.log');

/** The folder itself, whatever its name: in a copy of it, the pid file speaks of another one. */
function folderId(dir: string): string {
  const { dev, ino } = statSync(dir);
  return `${dev}:${ino}`;
}

// ---- adopting -----------------------------------------------------------------------------------------------------------

/**
 * We hold the lock, so whoever started the Redis that may still run here is dead. If its keeper lives, it is stopping that
 * Redis, and two of them on one append-only file would ruin it: wait. If not, nobody is going to: adopt it, or, if it cannot
 * be used, stop it.
 */
async function adoptOrphan(dir: string, options: EmbeddedRedisOptions): Promise<Server | null> {
  const left = readPidFile(dir);
  if (left === null || !isAlive(left.redis)) return null;
  options.log.info(
    { pid: left.redis.pid, dir },
    'redis of a killed process still runs here; waiting for its end or its answer',
  );
  await until(() => !isAlive(left.redis) || left.keeper === null || !isAlive(left.keeper), END_DEADLINE_MS);
  if (!isAlive(left.redis)) return null;

  const found = readRedisJson(dir);
  if (found?.pid === left.redis.pid && (await answers(found, dir, left.redis))) {
    options.log.info({ redisPid: found.pid }, 'redis adopted');
    return adopt(found, left.redis, dir, options);
  }
  await stopUnusable(left.redis, dir, options);
  return null;
}

function adopt(
  found: RedisJson,
  identity: ProcessIdentity,
  dir: string,
  options: EmbeddedRedisOptions,
): Server {
  // Not our child, so nobody tells us of its end: look once a second.
  let timer: NodeJS.Timeout | undefined;
  const ended = new Promise<string>((resolve) => {
    timer = setInterval(() => {
      if (isAlive(identity)) return;
      clearInterval(timer);
      resolve('it was adopted, so its exit code is unknown');
    }, 1_000);
    timer.unref();
  });
  return serve({ found, identity, adopted: true, keeper: new Keeper(identity, dir), ended }, dir, options);
}

function readPidFile(dir: string): { redis: ProcessIdentity; keeper: ProcessIdentity | null } | null {
  let text: string;
  try {
    text = readFileSync(pidFileOf(dir), 'utf8');
  } catch {
    return null;
  }
  const [folder, redisLine = '', keeperLine = ''] = text.split('\n');
  const redis = parseIdentity(redisLine);
  if (folder !== folderId(dir) || redis === null) return null;
  return { redis, keeper: parseIdentity(keeperLine) };
}

/** Does this process answer at its url, with its password, as the Redis of this very folder? One that still loads is waited for. */
async function answers(found: RedisJson, dir: string, identity: ProcessIdentity): Promise<boolean> {
  const deadline = Date.now() + LISTEN_DEADLINE_MS;
  for (; isAlive(identity); await sleep(50)) {
    const state = await readiness(found.url, found.pid);
    if (state === 'ready') return worksIn(dir, found.url);
    if (state === 'silent' && Date.now() > deadline) return false;
  }
  return false;
}

async function worksIn(dir: string, url: string): Promise<boolean> {
  const connection = await connect(url);
  try {
    const [, where] = ((await connection?.config('GET', 'dir')) ?? []) as string[];
    return where !== undefined && folderId(where) === folderId(dir);
  } catch {
    return false;
  } finally {
    connection?.disconnect();
  }
}

async function stopUnusable(
  identity: ProcessIdentity,
  dir: string,
  { log }: EmbeddedRedisOptions,
): Promise<void> {
  log.warn({ redisPid: identity.pid }, 'redis of a killed process stopped, because it could not be adopted');
  kill(identity, 'SIGTERM');
  if (await until(() => !isAlive(identity), END_DEADLINE_MS / 2)) return;
  kill(identity, 'SIGKILL');
  if (await until(() => !isAlive(identity), END_DEADLINE_MS / 2)) return;
  throw new EmbeddedRedisError(
    `The redis-server ${identity.pid} of an earlier start still runs in ${dir} and does not stop: stop that process first.`,
  );
}

// ---- launching ----------------------------------------------------------------------------------------------------------

async function launch(dir: string, options: EmbeddedRedisOptions): Promise<Server> {
  const program = findRedisServer();
  if (program === null) {
    throw new EmbeddedRedisError(
      'No redis-server 7.0 or newer and no valkey-server 7.2 or newer was found: run `node scripts/setup.mjs start`, or set REDIS_URL to a Redis that runs.',
    );
  }
  rmSync(join(dir, 'redis.json'), { force: true });
  for (let attempt = 1; ; attempt++) {
    const outcome = await tryLaunch(program, dir, options);
    if (outcome instanceof Ended === false) return outcome;
    if (!outcome.portWasTaken || attempt === PORT_ATTEMPTS) throw outcome.explain(dir);
  }
}

async function tryLaunch(
  program: string,
  dir: string,
  options: EmbeddedRedisOptions,
): Promise<Server | Ended> {
  const port = await freePort();
  const password = randomBytes(24).toString('hex');
  const url = `redis://:${password}@127.0.0.1:${port}`;
  writePrivately(join(dir, 'redis.conf'), configuration({ dir, port, password }));

  const logFile = openLog(dir);
  const child = spawn(
    '/bin/sh',
    [KEEPER, 'run', pidFileOf(dir), folderId(dir), program, join(dir, 'redis.conf')],
    {
      cwd: dir,
      // A group and session of its own: a Ctrl-C in the terminal is for us, and we stop Redis when everybody else has stopped.
      detached: true,
      stdio: ['ignore', logFile.descriptor, logFile.descriptor, 'pipe'],
    },
  );
  closeSync(logFile.descriptor);
  const ended = endOf(child);
  let end: string | undefined;
  void ended.then((how) => {
    end = how;
  });

  const died = () => new Ended(end ?? 'it does not listen', linesSince(dir, logFile.start));
  const deadline = Date.now() + LISTEN_DEADLINE_MS;
  for (let tellAt = Date.now() + 5_000; end === undefined; await sleep(10)) {
    const state = await readiness(url, child.pid);
    if (state === 'ready') break;
    if (state === 'loading' && Date.now() > tellAt) {
      options.log.info({ dir }, 'redis still loads its append-only file');
      tellAt += 5_000;
    }
    if (state === 'silent' && Date.now() > deadline) {
      child.kill('SIGKILL');
      await ended;
    }
  }
  const identity = end === undefined && child.pid !== undefined ? identify(child.pid) : null;
  if (identity === null) {
    await ended;
    sayDone(child.stdio[3] as Socket);
    return died();
  }

  child.unref();
  const found: RedisJson = { url, pid: identity.pid, port, startedAt: new Date().toISOString() };
  const keeper = new Keeper(identity, dir, child.stdio[3] as Socket);
  options.log.info({ redisPid: found.pid, port, dir }, 'redis started');
  return serve({ found, identity, adopted: false, keeper, ended }, dir, options);
}

/** What every Redis of ours is told. `appendfsync always`: acknowledged means on disk, or a kill -9 would give quota back. */
function configuration({ dir, port, password }: { dir: string; port: number; password: string }): string {
  return [
    '# Written anew at every start of Warmline.',
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    `dir ${quoted(dir)}`,
    'daemonize no',
    'logfile ""',
    'save ""',
    'appendonly yes',
    'appendfsync always',
    'no-appendfsync-on-rewrite no',
    'maxmemory-policy noeviction',
    '',
  ].join('\n');
}

/** Redis reads \xHH inside quotes, which takes any path: blanks, quotes, letters of any alphabet. */
function quoted(path: string): string {
  const bytes = [...Buffer.from(path)].map((byte) => {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    return plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  });
  return `"${bytes.join('')}"`;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string')
    throw new EmbeddedRedisError('No loopback port is free.');
  return address.port;
}

/** Redis writes to a file and not to us, so that its last words survive us; ours begin at `start`. */
function openLog(dir: string): { descriptor: number; start: number } {
  const path = logFileOf(dir);
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_MAX_BYTES) renameSync(path, `${path}.1`);
  return { descriptor: openSync(path, 'a', 0o600), start: size > LOG_MAX_BYTES ? 0 : size };
}

function linesSince(dir: string, start: number): string[] {
  const text = readFileSync(logFileOf(dir)).subarray(start).toString('utf8');
  return text.split('\n').filter((line) => line.trim() !== '');
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`it could not be run (${error.message})`));
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exit code ${code}` : `killed by ${signal}`),
    );
  });
}

/** How a launch failed, and what the operator can do about it. */
class Ended {
  readonly how: string;
  readonly lines: string[];

  constructor(how: string, lines: string[]) {
    this.how = how;
    this.lines = lines;
  }

  get portWasTaken(): boolean {
    return this.lines.some(
      (line) => line.includes('Address already in use') || line.includes('Failed listening on port'),
    );
  }

  explain(dir: string): EmbeddedRedisError {
    const damaged = this.lines.some((line) =>
      /Bad file format|redis-check-aof|append only file.*(corrupt|error)/i.test(line),
    );
    const advice = damaged
      ? `the append-only file in ${join(dir, 'appendonlydir')} is damaged, so copy that folder and then run redis-check-aof --fix on the file named below`
      : `its log is ${logFileOf(dir)}`;
    const last = this.lines.slice(-8).map((line) => `\n  ${line}`);
    return new EmbeddedRedisError(
      `redis-server ended at its start (${this.how}): ${advice}.${last.join('')}`,
    );
  }
}

// ---- while it runs ------------------------------------------------------------------------------------------------------

/** From here on the end of Redis is news, unless we have asked for it. */
function serve(
  server: Omit<Server, 'expectEnd'>,
  dir: string,
  { log, onExit }: EmbeddedRedisOptions,
): Server {
  let expected = false;
  void server.ended.then((how) => {
    server.keeper.dismiss();
    if (expected) return;
    rmSync(join(dir, 'redis.json'), { force: true });
    const because = `redis-server ${server.found.pid} ended by itself (${how}): its log is ${logFileOf(dir)}.`;
    log.error({ redisPid: server.found.pid, lines: linesSince(dir, 0).slice(-8) }, because);
    onExit?.(because);
  });
  return {
    ...server,
    expectEnd() {
      expected = true;
    },
  };
}

/** The process that stops Redis when we are gone. If somebody kills it, the next one takes its place. */
class Keeper {
  readonly #redis: ProcessIdentity;
  readonly #dir: string;
  #pipe: Socket;
  #dismissed = false;

  /** `pipe`: to the keeper that Redis was launched with; an adopted Redis has none yet. */
  constructor(redis: ProcessIdentity, dir: string, pipe?: Socket) {
    this.#redis = redis;
    this.#dir = dir;
    this.#pipe = this.#watch(pipe ?? this.#spawn());
  }

  /** Redis has ended. Without the word the keeper would look for it, and somebody else may have its pid by now. */
  dismiss(): void {
    if (this.#dismissed) return;
    this.#dismissed = true;
    sayDone(this.#pipe);
  }

  #spawn(): Socket {
    const args = [KEEPER, 'keep', pidFileOf(this.#dir), folderId(this.#dir), String(this.#redis.pid)];
    const child = spawn('/bin/sh', args, { detached: true, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
    // What cannot be spawned closes the pipe as well, so it is tried again below.
    child.on('error', () => {});
    child.unref();
    return child.stdio[3] as Socket;
  }

  #watch(pipe: Socket): Socket {
    pipe.on('error', () => {});
    pipe.once('close', () => {
      if (this.#dismissed) return;
      const replace = () => {
        if (!this.#dismissed && isAlive(this.#redis)) this.#pipe = this.#watch(this.#spawn());
      };
      // Not at once: if keepers cannot live here, one a second is enough.
      setTimeout(replace, 1_000).unref();
    });
    pipe.resume();
    pipe.unref();
    return pipe;
  }
}

/** To a keeper that may be gone already. */
function sayDone(pipe: Socket): void {
  pipe.on('error', () => {});
  pipe.end('done\n');
}

// ---- stopping -----------------------------------------------------------------------------------------------------------

async function stop(server: Server, dir: string, log: EmbeddedRedisOptions['log']): Promise<void> {
  server.expectEnd();
  // First, so that no command that starts now finds a Redis about to go.
  rmSync(join(dir, 'redis.json'), { force: true });
  const { identity } = server;
  if (isAlive(identity)) {
    // NOSAVE leaves out a snapshot only; the append-only file is written to its end. It is heard even while a script runs.
    const connection = await connect(server.found.url);
    if (connection === null) kill(identity, 'SIGTERM');
    else await connection.call('SHUTDOWN', 'NOSAVE').catch(() => {});
    connection?.disconnect();
    // Half of the time for its own way, then the signal for whatever it did not like about the command.
    if (!(await until(() => !isAlive(identity), 5_000))) kill(identity, 'SIGTERM');
    if (!(await until(() => !isAlive(identity), 5_000))) {
      log.warn(
        { pid: identity.pid },
        'redis killed, because it did not stop within 10 s; nothing acknowledged is lost',
      );
      kill(identity, 'SIGKILL');
      await until(() => !isAlive(identity), 5_000);
    }
  }
  server.keeper.dismiss();
  rmSync(pidFileOf(dir), { force: true });
  rmSync(join(dir, 'redis.conf'), { force: true });
  log.info({ redisPid: identity.pid }, 'redis stopped');
}

function kill(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  try {
    if (isAlive(identity)) process.kill(identity.pid, signal);
  } catch {
    // It ended just now, or is not ours to kill; the caller waits and sees.
  }
}

// ---- talking to it ------------------------------------------------------------------------------------------------------

/** One attempt; null if nobody listens or the password is not the right one. */
async function connect(url: string): Promise<Redis | null> {
  const connection = new Redis(url, {
    lazyConnect: true,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 2_000,
    commandTimeout: 5_000,
    retryStrategy: () => null,
  });
  // Every failure also rejects the call that met it.
  connection.on('error', () => {});
  try {
    await connection.connect();
    return connection;
  } catch {
    connection.disconnect();
    return null;
  }
}

async function readiness(url: string, pid: number | undefined): Promise<'ready' | 'loading' | 'silent'> {
  const connection = await connect(url);
  if (connection === null) return 'silent';
  try {
    await connection.ping();
    return (await isProcess(connection, pid)) ? 'ready' : 'silent';
  } catch (error) {
    return (error as Error).message.startsWith('LOADING') ? 'loading' : 'silent';
  } finally {
    connection.disconnect();
  }
}

/** Somebody else may have got the port between our look and Redis's bind. */
async function isProcess(connection: Redis, pid: number | undefined): Promise<boolean> {
  return (await connection.info('server')).includes(`process_id:${pid}\r`);
}

/** Waits for a process that is not our child, or is only about to be reaped: nothing tells us, so look every 20 ms. */
async function until(isSo: () => boolean, deadlineMs: number): Promise<boolean> {
  const deadline = Date.now() + deadlineMs;
  while (!isSo()) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}
