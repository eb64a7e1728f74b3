/**
 * A redis-server whose clock is moved from outside while it runs: libfaketime, loaded before it, adds to the clock of the
 * machine what a file says, and looks there each time. Its monotonic clock goes on untouched, as with a clock that is set.
 */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ScheduleBook } from '../../src/warmup/plan.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';

type Outcome = { path?: string; because?: string };

function outcome(): Outcome {
  const file = new URL('../../.cache/clock.json', import.meta.url);
  return existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Outcome)
    : { because: 'nobody has run `scripts/setup clock`, which provides libfaketime' };
}

/** Where libfaketime is; else `because` says in a sentence why the tests of the real clock are skipped. */
export const LIBFAKETIME = outcome();
if (LIBFAKETIME.because) {
  process.stderr.write(`The tests of the real clock are skipped: ${LIBFAKETIME.because}.\n`);
}

export interface FakedClock {
  /** What Redis's clock shows now, by the clock of the machine and what was added to it. */
  now(): number;
  /** Counts the moves: two readings with the same number lie on one clock that ran evenly. */
  readonly moves: number;
  /** The latest instant that it has ever shown. */
  readonly highest: number;
  set(ms: number): void;
  step(ms: number): void;
}

/** A fleet on `TIME` of a Redis that begins at this instant; everything in it is the real code. */
export async function startFakedFleet(
  at: number,
  book: ScheduleBook,
): Promise<{ fleet: Fleet; clock: FakedClock; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'warmline-clock-'));
  const file = join(folder, 'offset');
  let [offsetMs, moves, highest] = [0, 0, 0];
  const now = () => Date.now() + offsetMs;
  const clock: FakedClock = {
    now,
    get moves() {
      return moves;
    },
    get highest() {
      return Math.max(highest, now());
    },
    set: (ms) => clock.step(ms - now()),
    step(ms) {
      highest = clock.highest;
      offsetMs += ms;
      moves += 1;
      // Renamed into place: it is read in the middle of everything.
      writeFileSync(`${file}.new`, `${offsetMs < 0 ? '' : '+'}${(offsetMs / 1000).toFixed(3)}`);
      renameSync(`${file}.new`, file);
    },
  };
  clock.set(at);
  highest = at;
  const fleet = await startFleet({
    clock: 'real',
    book,
    through: [
      'env',
      // libc by its name: its malloc before jemalloc's, which asks for the time before libfaketime is ready to be asked.
      `LD_PRELOAD=${LIBFAKETIME.path} libc.so.6`,
      `FAKETIME_TIMESTAMP_FILE=${file}`,
      'FAKETIME_NO_CACHE=1',
      'FAKETIME_DONT_FAKE_MONOTONIC=1',
      'DONT_FAKE_MONOTONIC=1', // as older releases call it
    ],
  });
  return {
    fleet,
    clock,
    async stop() {
      await fleet.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
