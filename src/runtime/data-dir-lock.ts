import {
  lstatSync,
  lutimesSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HERE, identify, isAlive } from './process-identity.ts';

/*
 * One process at a time may use a data dir. Node has no lock that the kernel gives back when its holder dies, so a lock left
 * by a killed process must be seen through, and two starters that see through it at the same time must not both take it.
 *
 * The lock is a symbolic link `lock.<n>`; the one with the highest number counts. It is made with its content in one step,
 * which fails if the number is taken. To take over a lock nobody holds is to make the next number: one starter can.
 *
 * Why never two: the highest number never goes down (a holder removes only lower ones, and a release makes a higher one),
 * and who has made a number looks once more whether it is the highest. A starter that slept since it last looked thus finds
 * either its number taken or a higher one, and begins again.
 */
export interface DataDirLock {
  release(): void;
}

export class DataDirInUse extends Error {
  readonly code = 'data_dir_in_use';
  readonly dataDir: string;
  readonly pid: number;

  constructor(dataDir: string, pid: number, where: string) {
    super(
      `The data dir ${dataDir} is in use by process ${pid}${where}: stop that process first, or set WARMLINE_DATA_DIR to another folder.`,
    );
    this.name = 'DataDirInUse';
    this.dataDir = dataDir;
    this.pid = pid;
  }
}

/** What the link says. `dir` is the folder's inode: in a copy of the folder the lock means nothing. */
interface Holder {
  readonly pid: number;
  readonly born: string;
  readonly boot: string;
  readonly pidNamespace: string;
  readonly dir: string;
}

const RELEASED = 'released';

/**
 * A holder in another container cannot be looked up by its pid, so every holder touches its lock every 2 s, and one from
 * elsewhere counts as dead after 10 s of silence: five beats, for a process that is busy.
 */
const BEAT_MS = 2_000;
const SILENCE_MS = 10_000;

/** Takes the lock of a folder that exists, or throws `DataDirInUse`. */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  const { dev, ino } = statSync(dataDir);
  const me = identify(process.pid);
  const mine: Holder = { pid: process.pid, born: me?.born ?? '', ...HERE, dir: `${dev}:${ino}` };
  for (;;) {
    const highest = Math.max(0, ...numbers(dataDir));
    if (highest > 0 && (await isHeld(dataDir, highest, mine))) continue;
    const number = highest + 1;
    if (!make(dataDir, number, JSON.stringify(mine))) continue;
    if (Math.max(...numbers(dataDir)) > number) {
      remove(dataDir, number);
      continue;
    }
    removeBelow(dataDir, number);
    return hold(dataDir, number);
  }
}

function hold(dataDir: string, number: number): DataDirLock {
  const beat = setInterval(() => touch(dataDir, number), BEAT_MS);
  beat.unref();
  let released = false;
  return {
    release() {
      if (released) return;
      released = true;
      clearInterval(beat);
      make(dataDir, number + 1, RELEASED);
      removeBelow(dataDir, number + 1);
    },
  };
}

/** Throws if somebody holds the lock; true if it changed while we looked, so that looking again is needed. */
async function isHeld(dataDir: string, number: number, mine: Holder): Promise<boolean> {
  const content = read(dataDir, number);
  if (content === null) return true;
  const holder = parse(content);
  if (holder === null || holder.dir !== mine.dir || holder.boot !== mine.boot) return false;
  if (holder.pidNamespace === mine.pidNamespace) {
    if (isAlive(holder))
      throw new DataDirInUse(dataDir, holder.pid, holder.pid === mine.pid ? ' (this one)' : '');
    return false;
  }
  const beatAtMs = lastBeatMs(dataDir, number);
  while (Date.now() - beatAtMs < SILENCE_MS) {
    await sleep(100);
    const laterMs = lastBeatMs(dataDir, number);
    if (laterMs === 0) return true;
    if (laterMs > beatAtMs) throw new DataDirInUse(dataDir, holder.pid, ' of another container');
  }
  return false;
}

function parse(content: string): Holder | null {
  if (content === RELEASED) return null;
  try {
    return JSON.parse(content) as Holder;
  } catch {
    return null;
  }
}

const pathOf = (dataDir: string, number: number) => join(dataDir, `lock.${number}`);

function numbers(dataDir: string): number[] {
  return readdirSync(dataDir).flatMap((name) =>
    /^lock\.\d{1,15}$/.test(name) ? [Number(name.slice(5))] : [],
  );
}

function make(dataDir: string, number: number, content: string): boolean {
  try {
    symlinkSync(content, pathOf(dataDir, number));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function read(dataDir: string, number: number): string | null {
  try {
    return readlinkSync(pathOf(dataDir, number));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    // Not a link: no lock of ours, but its number is taken.
    if (code === 'EINVAL') return RELEASED;
    throw error;
  }
}

function remove(dataDir: string, number: number): void {
  try {
    unlinkSync(pathOf(dataDir, number));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function removeBelow(dataDir: string, number: number): void {
  for (const lower of numbers(dataDir)) if (lower < number) remove(dataDir, lower);
}

function touch(dataDir: string, number: number): void {
  const now = Date.now() / 1000;
  try {
    lutimesSync(pathOf(dataDir, number), now, now);
  } catch {
    // A folder that is gone has nothing left to guard; whoever still needs it fails on its own.
  }
}

/** 0 if the lock is gone. */
function lastBeatMs(dataDir: string, number: number): number {
  try {
    return lstatSync(pathOf(dataDir, number)).mtimeMs;
  } catch {
    return 0;
  }
}
