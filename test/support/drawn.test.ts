/** A property that was hardly tried has not held. */
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { holdsFor } from './drawn.ts';

/** Each takes its time, so that so many fit into half a second on any machine: none, some, all. */
const slow = (ms: number, holds = (_: number) => true) =>
  fc.asyncProperty(fc.nat(), async (one) => {
    await sleep(ms);
    return holds(one);
  });
const LIMIT_MS = 500;

test('all of them, where there is time', async () => {
  let tried = 0;
  await holdsFor(
    slow(0, () => {
      tried += 1;
      return true;
    }),
    20,
  );
  expect(tried).toBe(Number(process.env.RUNS ?? 20));
});

test('fewer than a third is no success', async () => {
  await expect(holdsFor(slow(200), 30, LIMIT_MS)).rejects.toThrow(
    /only \d of 30 were drawn within 0\.5 s, and 10/,
  );
});

test('what does not hold is told with its example and its seed', async () => {
  await expect(
    holdsFor(
      slow(0, () => false),
      5,
    ),
  ).rejects.toThrow(/seed: -?\d+[\s\S]*Counterexample: \[/);
});
