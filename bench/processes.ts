/** Other processes of a part, each with one question at a time: `children/<name>.ts`. They end when this one does. */
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { basename, extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Asked before anybody is pinned, since a pinned process sees one core only. */
const CORES = availableParallelism();
const CODE = extname(fileURLToPath(import.meta.url));

/** Redis on one core and what is measured on the other: otherwise they take turns, and the figures jump. */
export type Core = 'redis' | 'client';

/** @returns whether it could be done: it takes two cores and `taskset`. */
export function pin(pid: number, core: Core): boolean {
  if (CORES < 2) return false;
  try {
    execFileSync('taskset', ['-a', '-c', '-p', core === 'redis' ? '0' : '1', String(pid)], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

export type Child = {
  readonly pid: number;
  ask<Answer>(question: object): Promise<Answer>;
  stop(): Promise<void>;
};

/** @param program the name of one in `children`, or where another one is */
export function startChild(program: string | URL, core: Core | 'any'): Child {
  const file = program instanceof URL ? program : new URL(`./children/${program}${CODE}`, import.meta.url);
  const name = basename(file.pathname);
  const compiles = CODE === '.ts' && !process.execArgv.includes('tsx');
  const child = fork(fileURLToPath(file), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // As in `run.mjs`: whoever has one core has no use for parallel collectors. And as `npm start` and the compose file have it:
    // with 64 MB for what is young, much that lives as long as a request is gone before anybody looks after it.
    execArgv: [
      ...process.execArgv,
      ...(compiles ? ['--import', 'tsx'] : []),
      ...(core === 'any' ? [] : ['--no-parallel-scavenge', '--max-semi-space-size=64']),
    ],
  });
  const pid = child.pid ?? 0;
  if (core !== 'any') pin(pid, core);
  else if (CORES > 1) unpin(pid);
  const waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>();
  let questions = 0;
  child.on('message', ({ number, answer, error }: { number: number; answer?: never; error?: string }) => {
    const asked = waiting.get(number);
    waiting.delete(number);
    if (error === undefined) asked?.resolve(answer as never);
    else asked?.reject(new Error(error));
  });
  child.once('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`${name} ended (${code ?? signal})`));
  });
  return {
    pid,
    ask: <Answer>(question: object) =>
      new Promise<Answer>((resolve, reject) => {
        questions += 1;
        waiting.set(questions, { resolve, reject });
        child.send({ number: questions, question });
      }),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function unpin(pid: number): void {
  try {
    execFileSync('taskset', ['-a', '-c', '-p', `0-${CORES - 1}`, String(pid)], { stdio: 'ignore' });
  } catch {
    // Without taskset nobody was pinned.
  }
}

/** What a child does all its life. */
export function answerParent<Question>(answer: (question: Question) => Promise<unknown>): void {
  process.on('disconnect', () => process.exit(0));
  process.on('message', async ({ number, question }: { number: number; question: Question }) => {
    try {
      process.send?.({ number, answer: await answer(question) });
    } catch (error) {
      process.send?.({ number, error: error instanceof Error ? error.message : String(error) });
    }
  });
}
