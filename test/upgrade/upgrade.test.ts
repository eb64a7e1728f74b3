import { afterAll, afterEach, expect, test } from 'vitest';
import { killAll } from '../operate/processes.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { killPrograms } from '../support/processes.ts';
import { checkOut, findRevision, recordVersionOf } from './earlier.ts';
import { rollingUpgrade } from './rolling.ts';

// Workers, APIs and senders of an earlier revision and of this one at once on one Redis; `npm run upgrade` does more of it.

/** The last state before the scripts changed; where it is not in the history, the commit before this one. */
const sha = findRevision('e84e470', 'HEAD~1');
if (sha === null)
  console.info('A rolling upgrade needs the git history, which this checkout does not have; skipped.');

let fleet: Fleet | undefined;
afterEach(() => {
  killAll();
  killPrograms();
});
afterAll(() => fleet?.stop());

test.skipIf(sha === null)(
  'two builds at once: never over, each change once, books that balance',
  async () => {
    fleet = await startFleet({ clock: Date.UTC(2026, 2, 2, 9), config: ['--appendonly', 'yes'] });
    const earlier = checkOut(sha!);
    const andBack =
      recordVersionOf(earlier.root) === recordVersionOf(new URL('../..', import.meta.url).pathname);
    const figures = await rollingUpgrade(fleet, earlier.root, { seed: 7, steps: 1, andBack });
    expect(figures.broken).toEqual([]);
    expect(figures.sends).toBeGreaterThan(100);
    expect(figures.leased).toBeGreaterThan(0);
    expect(figures.refunded).toBeGreaterThan(0);
  },
  180_000,
);
