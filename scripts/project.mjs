import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/*
 * What the scripts share: where the project is, how they speak, and the lock that keeps several `npm start` and `npm test`
 * at once from building or downloading into each other's hands. Node alone, as it runs before anything is installed.
 */

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const inProject = (...path) => join(ROOT, ...path);
export const CACHE = inProject('.cache');

/** On stderr: `npm run -s dry-run -- --json` is read by programs, on a fresh clone too. */
export const say = (sentence) => process.stderr.write(`${sentence}\n`);

/** Something that the reader can put right: printed as one sentence, without a stack. */
export class SetupProblem extends Error {}

/** Runs the task of a script's main file and ends with what a shell expects. */
export async function main(task) {
  try {
    await task();
  } catch (error) {
    if (error instanceof SetupProblem) process.stderr.write(`${error.message}\n`);
    else if (['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes(error.code) && error.path) {
      process.stderr.write(
        `${error.path} cannot be written (${error.code}): the project folder must be yours, with room on its disk.\n`,
      );
    } else process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  }
}

/** Does the task while no other setup works in this project. */
export async function alone(task) {
  mkdirSync(CACHE, { recursive: true });
  let waiting = false;
  for (;;) {
    const outcome = tryLock();
    if (outcome.number !== undefined) {
      try {
        return await task();
      } finally {
        release(outcome.number);
      }
    }
    if (outcome.holder !== undefined && !waiting) {
      waiting = true;
      say(`Another setup (process ${outcome.holder}) is at work in this folder; waiting for it.`);
    }
    await sleep(100);
  }
}

/*
 * The lock is a link `setup.lock.<n>`; the highest number counts and never goes down, so a lock left by a killed process is
 * taken over by making the next number, which only one can. src/runtime/data-dir-lock.ts tells why that is enough.
 */
function tryLock() {
  const highest = highestLock();
  const holder = highest === 0 ? null : holderOf(highest);
  if (holder !== null) return { holder };
  const number = highest + 1;
  try {
    symlinkSync(`${process.pid} ${birthOf(process.pid)}`, lockPath(number));
  } catch (error) {
    if (error.code === 'EEXIST') return {};
    throw error;
  }
  if (highestLock() > number) {
    rmSync(lockPath(number), { force: true });
    return {};
  }
  removeLocksBelow(number);
  return { number };
}

function release(number) {
  symlinkSync('released', lockPath(number + 1));
  removeLocksBelow(number + 1);
}

const lockPath = (number) => join(CACHE, `setup.lock.${number}`);
const lockNumbers = () =>
  readdirSync(CACHE).flatMap((name) => (/^setup\.lock\.\d+$/.test(name) ? [Number(name.slice(11))] : []));
const highestLock = () => Math.max(0, ...lockNumbers());

function removeLocksBelow(number) {
  for (const lower of lockNumbers()) if (lower < number) rmSync(lockPath(lower), { force: true });
}

/** The pid of a holder that lives, or null. */
function holderOf(number) {
  try {
    const [pid, ...born] = readlinkSync(lockPath(number)).split(' ');
    return pid !== 'released' && birthOf(Number(pid)) === born.join(' ') ? Number(pid) : null;
  } catch {
    return null;
  }
}

/** Tells a process from a later one with the same pid, also after a reboot; null if there is none. */
function birthOf(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code !== 'EPERM') return null;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    // Field 22 of proc(5), counted after the name in parentheses, which may hold blanks.
    return `${boot} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    try {
      const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC0' };
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { env, encoding: 'utf8' }).trim();
    } catch {
      return '';
    }
  }
}
