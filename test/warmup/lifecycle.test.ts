/** Which status may follow which: all 25 pairs, so that a new arrow cannot slip in. */
import { expect, test } from 'vitest';
import { mayFollow, STATUSES } from '../../src/warmup/lifecycle.ts';

test.each([
  ['provisioning', ['warming', 'cooldown']],
  ['warming', ['active', 'cooldown']],
  ['active', ['warming', 'cooldown']],
  ['cooldown', ['provisioning', 'warming', 'active', 'released']],
  ['released', []],
] as const)('after %s: %j, and nothing else', (from, expected) => {
  expect(STATUSES.filter((to) => mayFollow(from, to))).toEqual(expected);
});
