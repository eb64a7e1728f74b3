import { lutimesSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { DataDirInUse, lockDataDir } from '../../src/runtime/data-dir-lock.ts';
import { HERE, identify } from '../../src/runtime/process-identity.ts';
import { killPrograms, startProgram } from '../support/processes.ts';

/** One process at a time may use a data dir, and whoever was killed is no process any more. */

const parent = realpathSync(mkdtempSync(join(tmpdir(), 'warmline-lock-')));
const newFolder = () => mkdtempSync(join(parent, 'dir-'));
afterEach(killPrograms);
afterAll(() => rmSync(parent, { recursive: true }));

/** What a process leaves that was killed while it held the lock: by default one that is long gone. */
function leaveLock(folder: string, changes: Record<string, unknown> = {}, number = 1): void {
  const { dev, ino } = statSync(folder);
  // Above the largest pid that Linux gives.
  const holder = { pid: 4_194_305, born: '1', ...HERE, dir: `${dev}:${ino}`, ...changes };
  symlinkSync(JSON.stringify(holder), join(folder, `lock.${number}`));
}

describe('the lock of a data dir', () => {
  test('is held by one until it is released', async () => {
    const folder = newFolder();
    const first = await lockDataDir(folder);
    const refusal = await lockDataDir(folder).catch((error) => error);
    expect(refusal).toBeInstanceOf(DataDirInUse);
    expect(refusal.pid).toBe(process.pid);
    expect(refusal.message).toBe(
      `The data dir ${folder} is in use by process ${process.pid} (this one): stop that process first, or set WARMLINE_DATA_DIR to another folder.`,
    );
    first.release();
    first.release();
    (await lockDataDir(folder)).release();
  });

  test('leaves one link behind, however often it is taken', async () => {
    const folder = newFolder();
    for (let round = 0; round < 5; round++) (await lockDataDir(folder)).release();
    expect(readdirSync(folder)).toHaveLength(1);
  });

  test.each([
    ['left by a process that is gone', {}],
    ['whose pid another process has by now', { pid: process.pid, born: 'earlier' }],
    ['left before the machine was booted', { ...identify(process.pid), boot: 'earlier' }],
    ['that came with a copy of another folder', { ...identify(process.pid), dir: '1:1' }],
  ])('is taken over if it is one %s', async (_, changes) => {
    const folder = newFolder();
    leaveLock(folder, changes, 7);
    const lock = await lockDataDir(folder);
    expect(readdirSync(folder)).toEqual(['lock.8']);
    lock.release();
  });

  test('is taken over whatever else has its name', async () => {
    const folder = newFolder();
    symlinkSync('not ours', join(folder, 'lock.3'));
    symlinkSync('x', join(folder, 'lock.4.old'));
    (await lockDataDir(folder)).release();
    expect(readdirSync(folder).sort()).toEqual(['lock.4.old', 'lock.5']);
  });

  test('of another container is taken over when that has been silent for 10 s', async () => {
    const folder = newFolder();
    leaveLock(folder, { pidNamespace: 'pid:[elsewhere]' });
    lutimesSync(join(folder, 'lock.1'), Date.now() / 1000 - 11, Date.now() / 1000 - 11);
    (await lockDataDir(folder)).release();
  });

  test('of another container is respected while that gives signs of life', async () => {
    const folder = newFolder();
    leaveLock(folder, { pidNamespace: 'pid:[elsewhere]', pid: 7 });
    const beat = setInterval(
      () => lutimesSync(join(folder, 'lock.1'), Date.now() / 1000, Date.now() / 1000),
      50,
    );
    await expect(lockDataDir(folder)).rejects.toThrow('is in use by process 7 of another container');
    clearInterval(beat);
  });

  test('that a killed process left goes to exactly one of two who want it at the same moment', async () => {
    const racers = [0, 1].map(() => startProgram(new URL('./fixtures/lock-racer.ts', import.meta.url)));
    await Promise.all(racers.map((racer) => racer.line()));
    for (let round = 0; round < 100; round++) {
      const folder = newFolder();
      leaveLock(folder);
      for (const racer of racers) racer.child.stdin?.write(`${folder}\n`);
      const outcomes = await Promise.all(racers.map((racer) => racer.line()));
      expect(outcomes.sort()).toEqual(['data_dir_in_use', 'won']);
    }
  });
});
