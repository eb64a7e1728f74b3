/** A fixed part of what `npm run simulate -- --seeds 1000` tries, in a process of its own, since time there is not ours. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { historyOf } from './history.ts';
import { MUTANTS } from './mutants.ts';

const run = promisify(execFile);
const root = new URL('../..', import.meta.url);

test('no promise is broken in the lives of 18 seeds, 40 days each', async () => {
  const { stdout } = await run(
    process.execPath,
    ['--import', 'tsx', 'test/simulation/main.ts', '--seeds', '18'],
    {
      cwd: root,
    },
  ).catch((error: { stdout: string; stderr: string }) => ({ stdout: error.stdout + error.stderr }));
  expect(stdout).toMatch(/^simulate: 18 seeds, .*; no broken promise$/m);
  // They lived.
  const told = (name: string) => Number(new RegExp(`(\\d+) ${name}`).exec(stdout)?.[1]);
  expect(told('granted')).toBeGreaterThan(5_000);
  expect(told('leased')).toBeGreaterThan(1_000);
  expect(told('credited')).toBeGreaterThan(500);
}, 180_000);

test('a seed is a history, the same each time', () => {
  const setting = { seed: 4711, days: 5, ips: 6 };
  expect(historyOf(setting)).toEqual(historyOf(setting));
  expect(historyOf({ ...setting, seed: 4712 })).not.toEqual(historyOf(setting));
});

test.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
  '"%s" can still be planted',
  (_, { file, from }) => {
    expect(readFileSync(new URL(file, root), 'utf8').split(from)).toHaveLength(2);
  },
);
