/** The command line as it is deployed: a process of its own, all that it says kept. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/processes.ts';
import { WARMLINE } from '../support/warmline.ts';

/** Two seconds, but a machine that is busy with other things loads the sources slowly. */
const STARTS_WITHIN_MS = 100_000;
/** For tests that start processes. */
export const PATIENCE_MS = 240_000;

export interface WarmlineProcess {
  readonly child: ChildProcess;
  readonly dataDir: string;
  /** All of stdout and stderr so far. */
  said(): string;
  /** Waits for a sentence; with what was said instead when the process ends without it. */
  says(sentence: RegExp): Promise<RegExpExecArray>;
  ended: Promise<number | string>;
  stop(): Promise<void>;
}

export function runWarmline(args: readonly string[], env: Record<string, string>): WarmlineProcess {
  const dataDir = mkdtempSync(join(tmpdir(), 'warmline-process-'));
  const child = spawn(process.execPath, [WARMLINE, ...args], {
    env: { ...process.env, PORT: '0', WARMLINE_DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let hasEnded = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  // 'close': when all that it said has been read.
  const ended = once(child, 'close').then(([code, signal]) => {
    hasEnded = true;
    return (code ?? signal) as number | string;
  });
  return {
    child,
    dataDir,
    ended,
    said: () => said,
    async says(sentence) {
      await eventually(`it says ${sentence}`, () => hasEnded || sentence.test(said), STARTS_WITHIN_MS).catch(
        (error) => {
          throw new Error(`${(error as Error).message}; it said:\n${said}`);
        },
      );
      const found = sentence.exec(said);
      if (!found) throw new Error(`it ended and never said ${sentence}:\n${said}`);
      return found;
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
