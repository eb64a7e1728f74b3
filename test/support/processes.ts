import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** A program in a process of its own, which tells in lines on stdout what happens to it. */
export interface Program {
  readonly child: ChildProcess;
  readonly pid: number;
  /** The next line of its stdout that nobody has read yet; rejects if it ends without one. */
  line(): Promise<string>;
  /** Settles when it has ended, with its exit code or the name of the signal. */
  readonly ended: Promise<number | string>;
}

const running = new Set<ChildProcess>();

export function startProgram(
  file: URL,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = process.env,
): Program {
  const path = fileURLToPath(file);
  const child = spawn(process.execPath, [...loaderOf(path), path, ...args], {
    env,
    // A group of its own, as a job in a terminal has: a test can send a Ctrl-C to all of it.
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  running.add(child);
  const ended = once(child, 'exit').then(([code, signal]) => {
    running.delete(child);
    return (code ?? signal) as number | string;
  });
  const lines = createInterface(child.stdout as NodeJS.ReadableStream)[Symbol.asyncIterator]();
  return {
    child,
    pid: child.pid ?? 0,
    ended,
    async line() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${file.pathname} ended (${await ended}) without another line.`);
      return value;
    },
  };
}

/** Node 20 runs TypeScript with a loader only; what is built starts faster without. */
export const loaderOf = (path: string): string[] => (path.endsWith('.ts') ? ['--import', 'tsx'] : []);

/** For afterEach: whatever a failed test left. */
export function killPrograms(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Waits for what no event tells, as the end of a process that is not our child; fails with the name of what did not come. */
export async function eventually(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  deadlineMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(10);
  }
}
