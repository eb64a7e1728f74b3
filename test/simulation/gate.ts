/**
 * The way of every simulated process to Redis: a command waits here until the simulation lets it through, one at a time, so that
 * every order of the commands of all processes can happen, and each only because the seed says so. A connection is first in,
 * first out; it may break at any command, before or after Redis has done it; and a process may die with commands on their way.
 */
import type { Redis } from 'ioredis';
import type { RedisConnection } from '../../src/redis/connect.ts';

export type Command = { readonly name: string; readonly args: readonly unknown[] };
/** Runs a command on the real Redis and lets the model look at what it did. */
export type Execute = (process: Process, command: Command, run: () => Promise<unknown>) => Promise<unknown>;

type Pending = Command & { resolve(reply: unknown): void; reject(error: Error): void };

/** One process with one connection, from its start to its end. */
export class Process {
  readonly name: string;
  /** What its code uses as its connection. */
  readonly redis: RedisConnection;
  readonly pending: Pending[] = [];
  alive = true;
  /** So many times its connection broke. */
  cuts = 0;
  /** Sends that Redis charged for its takes, and for its leases. */
  taken = 0;
  leased = 0;

  readonly #own: Record<string, unknown>;

  constructor(name: string) {
    this.name = name;
    // Nothing is listened for: the simulation tells nobody that a connection broke but those whose commands it broke.
    this.#own = { status: 'ready', stream: {}, on: () => {}, off: () => {}, once: () => {} };
    this.redis = connectionTo(this.pending, this.#own);
  }

  /** The connection broke, and the next command goes over a new one. */
  reconnect(): void {
    this.cuts += 1;
    this.#own.stream = {};
  }
}

/** Everything that a connection can be asked becomes a command that waits. */
function connectionTo(pending: Pending[], own: Record<string, unknown>): RedisConnection {
  const send = (name: string, args: readonly unknown[]) =>
    new Promise((resolve, reject) => pending.push({ name, args, resolve, reject }));
  return new Proxy(own, {
    get(target, name) {
      // No promise, whoever may wait for it.
      if (typeof name === 'symbol' || name === 'then' || name in target) return target[name as string];
      if (name === 'multi') return () => transactionOf((commands) => send('multi', commands));
      return (...args: unknown[]) => send(name, args);
    },
  }) as unknown as RedisConnection;
}

/** Several commands that go as one. */
function transactionOf(exec: (commands: Command[]) => Promise<unknown>): unknown {
  const commands: Command[] = [];
  const chain: unknown = new Proxy(
    {},
    {
      get(_, name) {
        if (name === 'exec') return () => exec(commands);
        if (typeof name === 'symbol' || name === 'then') return undefined;
        return (...args: unknown[]) => {
          commands.push({ name, args });
          return chain;
        };
      },
    },
  );
  return chain;
}

const BROKEN = 'Connection is closed.';

export class Gate {
  readonly processes = new Set<Process>();
  readonly #redis: Redis;
  readonly #execute: Execute;
  readonly #settled: () => Promise<void>;
  executed = 0;

  /** @param settled settles when all code that a reply set going has come to a stand */
  constructor(redis: Redis, execute: Execute, settled: () => Promise<void>) {
    this.#redis = redis;
    this.#execute = execute;
    this.#settled = settled;
  }

  open(name: string): Process {
    const process = new Process(name);
    this.processes.add(process);
    return process;
  }

  /** Those whose next command waits. */
  waiting(): Process[] {
    return [...this.processes].filter(({ pending }) => pending.length > 0);
  }

  /** Lets the next command of a process through, and its reply back. */
  async step(process: Process): Promise<void> {
    const command = process.pending.shift()!;
    try {
      command.resolve(await this.#run(process, command));
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
      command.reject(error);
    }
    await this.#settled();
  }

  /** The connection breaks: Redis has done the first `done` of what was on its way, and nobody hears of it. */
  async cut(process: Process, done: number): Promise<void> {
    const lost = process.pending.splice(0);
    await this.#runUnheard(process, lost.slice(0, done));
    process.reconnect();
    for (const command of lost) command.reject(new Error(BROKEN));
    await this.#settled();
  }

  /** The process ends at once, as by `kill -9`: what it sent may still be done, and its code never goes on. */
  async kill(process: Process, done: number): Promise<void> {
    process.alive = false;
    this.processes.delete(process);
    await this.#runUnheard(process, process.pending.splice(0).slice(0, done));
  }

  async #runUnheard(process: Process, commands: readonly Command[]): Promise<void> {
    for (const command of commands) {
      await this.#run(process, command).catch((error: Error) => {
        if (error.name !== 'ReplyError') throw error;
      });
    }
  }

  #run(process: Process, command: Command): Promise<unknown> {
    this.executed += 1;
    return this.#execute(process, command, () => this.#send(command));
  }

  #send({ name, args }: Command): Promise<unknown> {
    if (name === 'multi') {
      const transaction = this.#redis.multi();
      for (const each of args as readonly Command[]) callOn(transaction, each);
      return transaction.exec();
    }
    // The allocation's journal goes by the clock of the machine; the simulation sweeps it by hand.
    if (name === 'time') return Promise.resolve([0, 0]);
    return callOn(this.#redis, { name, args }) as Promise<unknown>;
  }
}

const callOn = (redis: unknown, { name, args }: Command): unknown =>
  (redis as Record<string, (...args: readonly unknown[]) => unknown>)[name]!(...args);
