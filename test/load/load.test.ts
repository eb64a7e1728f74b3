import { expect, test } from 'vitest';
import { chartOf } from './chart.ts';
import { judge } from './judge.ts';
import { asTables } from './report.ts';
import { runLoad } from './run.ts';

// Some seconds of what `npm run load` does for half an hour: the same processes, fewer of everything. Whether anything grows
// cannot be seen in so short a time; whether the books balance can.

test('mixed traffic from several processes: the books balance, nothing is over, and every key has its pattern', async () => {
  const run = await runLoad({
    forMs: 4_000,
    leastRounds: 30,
    sampleEveryMs: 1_000,
    ipCount: 24,
    accountCount: 2,
    senderCount: 2,
    pace: { sender: 10, client: 8 },
    livesPerSecond: 2,
  });
  const judgment = judge(run);
  expect(judgment.wrong).toEqual([]);
  expect(run.books).toMatchObject({ over: 0, unbalanced: 0, wrong: [] });
  expect(run.books.granted).toBeGreaterThan(100);
  const counted = (what: string) => run.samples.reduce((sum, { counts }) => sum + (counts[what] ?? 0), 0);
  // Each kind of traffic was there, and the tight limits were reached.
  for (const what of ['granted', 'denied', 'leased', 'refunded'])
    expect(counted(what), what).toBeGreaterThan(0);
  expect(run.created).toBeGreaterThan(0);
  expect(run.released).toBe(run.created);
  expect(judgment.judged).toBe(false);
  expect(asTables(run, judgment)).toContain('Nothing over.');
  expect(chartOf(run.samples)).toMatch(/^<svg /);
}, 300_000);
