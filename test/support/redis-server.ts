import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, connect as dial, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findRedisServer } from '../../src/runtime/redis-binary.ts';

/**
 * A redis-server for one test file: started here, on a free port with a folder of its own, so that no test ever talks to a
 * Redis that somebody else uses. The keeper of the embedded Redis stops it if the test process is killed.
 */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  readonly pid: number;
  /** It runs no more. */
  hasEnded(): boolean;
  /** Ends it in order and removes its folder. */
  stop(): Promise<void>;
  /** Ends it as the OOM killer would; `restart` brings it back with what was on disk. */
  kill9(): Promise<void>;
  /** Starts it anew on the same port and folder; stops it first if it runs. */
  restart(): Promise<void>;
}

const KEEPER = fileURLToPath(new URL('../../src/runtime/redis-keeper.sh', import.meta.url));
/** A free port may be taken before Redis binds it. */
const PORT_ATTEMPTS = 5;

/**
 * `config`: further arguments of redis-server, which win over these: `['--appendonly', 'yes']`. `through`: a command that
 * starts the one that follows it: `['nice', '-n', '5']`. `pickPort`: what to try, one after the other.
 */
export async function startRedisServer({
  config = [],
  through = [],
  pickPort = freePort,
}: {
  config?: readonly string[];
  through?: readonly string[];
  pickPort?: () => Promise<number>;
} = {}): Promise<RedisServer> {
  const program = findRedisServer();
  if (program === null) throw new Error('No redis-server was found: run `node scripts/setup.mjs test`.');
  const dir = mkdtempSync(join(tmpdir(), 'warmline-redis-'));
  const password = config[config.indexOf('--requirepass') + 1];
  const secret = config.includes('--requirepass') ? `:${encodeURIComponent(password ?? '')}@` : '';

  let port = await pickPort();
  const launch = () => {
    const own = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      dir,
      '--save',
      '',
      '--appendonly',
      'no',
    ];
    return run([KEEPER, 'run', join(dir, 'redis.pid'), dir, ...through, program, ...own, ...config], port);
  };
  const remove = () => rmSync(dir, { recursive: true, force: true });
  let running = await launch();
  for (let attempt = 1; running.hasEnded(); attempt++) {
    if (attempt === PORT_ATTEMPTS || !running.output().includes('Address already in use')) {
      remove();
      throw new Error(`redis-server ended at its start:\n${running.output()}`);
    }
    port = await pickPort();
    running = await launch();
  }

  return {
    port,
    dir,
    url: `redis://${secret}127.0.0.1:${port}`,
    get pid() {
      return running.pid;
    },
    hasEnded: () => running.hasEnded(),
    async stop() {
      await running.end('SIGTERM');
      remove();
    },
    kill9: () => running.end('SIGKILL'),
    async restart() {
      await running.end('SIGTERM');
      running = await launch();
      if (running.hasEnded()) throw new Error(`redis-server ended at its restart:\n${running.output()}`);
    },
  };
}

interface Running {
  readonly pid: number;
  output(): string;
  hasEnded(): boolean;
  end(signal: NodeJS.Signals): Promise<void>;
}

/** What Redis says once it listens and has loaded its data. */
const READY = 'Ready to accept connections';

/**
 * Answers when this very Redis does, or when it has ended. That one answers at the port is not enough: somebody else, or a
 * proxy to the Redis of another test, may have got the port first, and ours is about to find that out.
 */
async function run(args: readonly string[], port: number): Promise<Running> {
  const child: ChildProcess = spawn('/bin/sh', args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const keeperPipe = child.stdio[3] as Socket;
  keeperPipe.on('error', () => {});
  let output = '';
  let listens = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-20_000);
      listens ||= output.includes(READY);
    });
  }
  let ended = false;
  child.once('exit', () => keeperPipe.end('done\n'));
  // 'close' comes when everything it said has been read and the keeper has gone, too.
  const closed = once(child, 'close').then(() => {
    ended = true;
  });
  keeperPipe.resume();
  while (!ended && !(listens && (await answersPing(port)))) await sleep(5);
  return {
    pid: child.pid ?? 0,
    output: () => output,
    hasEnded: () => ended,
    async end(signal) {
      if (!ended) child.kill(signal);
      await closed;
    },
  };
}

/** NOAUTH is an answer, too; LOADING is not, as commands would fail. */
function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = dial(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.setTimeout(1_000, () => socket.destroy());
    socket.once('data', (answer) => {
      resolve(/^(\+PONG|-NOAUTH)/.test(String(answer)));
      socket.destroy();
    });
    socket.once('error', () => {});
    socket.once('close', () => resolve(false));
  });
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('No loopback port is free.');
  return address.port;
}
