import { expect, test } from 'vitest';
import { chartOf } from '../../bench/chart.ts';
import { closedLoop, orderOf, percentiles, runRounds, spreadOf, tightLoop } from '../../bench/measure.ts';
import { asMarkdown, type Row, short, verdictOf } from '../../bench/report.ts';

const quiet = { sliceMs: 0, step: () => {} };

test('a figure is the middle of its rounds, with the quartiles around it', () => {
  expect(spreadOf([9, 1, 5, 3, 7])).toEqual({ median: 5, low: 3, high: 7 });
  expect(spreadOf([2])).toEqual({ median: 2, low: 2, high: 2 });
  expect(spreadOf([]).median).toBeNaN();
});

test('a ratio is taken inside each round, so a slow round shakes both sides of it', async () => {
  const rates = { ours: [0, 40, 4, 400], peer: [0, 20, 2, 100] };
  const contender = (name: keyof typeof rates) => {
    let round = 0;
    return { name, run: async () => ({ perSecond: rates[name][round++]! }) };
  };
  const found = await runRounds([[contender('ours'), contender('peer')]], { rounds: 3, ...quiet });
  expect(found.ratio('ours', 'peer').median).toBe(2);
  // The first round is for the compiler and does not count.
  expect(found.perSecond('ours').median).toBe(40);
  expect(() => found.perSecond('nobody')).toThrow('"nobody" was not measured');
});

test.each([2, 3, 4, 7])('of %i contenders none always comes first, and each has its turn', (count) => {
  const all = Array.from({ length: count }, (_, index) => index);
  const rounds = Array.from({ length: 4 * count }, (_, round) => orderOf(all, round));
  for (const order of rounds) expect([...order].sort((a, b) => a - b)).toEqual(all);
  expect(new Set(rounds.map(([first]) => first)).size).toBe(count);
});

test('the loops count what was done, and end', async () => {
  let calls = 0;
  const looped = await closedLoop(
    async () => {
      calls += 1;
    },
    8,
    5,
  );
  expect(calls).toBeGreaterThan(0);
  expect(looped.perSecond).toBeGreaterThan(0);
  // Every second take is refused: it is called, and does not count.
  let takes = 0;
  const tight = await tightLoop((turn) => {
    takes += 1;
    return turn % 2 === 0;
  }, 5);
  expect(tight.perSecond).toBeLessThan((takes * 1000) / 5);
  expect(tight.granted).toBe(0.5);
  // Also where all of the time had passed before the first of them, as on a machine that is busy with others.
  expect(await tightLoop(() => true, 0)).toMatchObject({ granted: 1 });
});

test('percentiles are values that were measured', () => {
  const taken = Array.from({ length: 100 }, (_, index) => index + 1);
  expect(percentiles(taken.reverse())).toEqual({ p50Ms: 51, p99Ms: 100 });
});

test.each<[figure: number, mark: Row['mark'], verdict: string]>([
  [0.95, { wanted: 0.8, stretch: 0.9 }, 'stretch'],
  [0.85, { wanted: 0.8, stretch: 0.9 }, 'met'],
  [0.75, { wanted: 0.8, stretch: 0.9 }, 'missed'],
  [1.5, { wanted: 1.4 }, 'met'],
  [2.5, { wanted: 3, stretch: 2, atMost: true }, 'met'],
  [3.5, { wanted: 3, stretch: 2, atMost: true }, 'missed'],
  [Number.NaN, { wanted: 1 }, 'missed'],
  [7, undefined, 'for information'],
])('%d with the mark %o is %s', (figure, mark, verdict) => {
  const row = { figure: '', measured: spreadOf([figure]), unit: 'N', ...(mark && { mark }) };
  expect(verdictOf(row)).toBe(verdict);
});

test.each([
  [0.8449, '0.84'],
  [12.34, '12.3'],
  [5, '5'],
  [1040.6, '1 041'],
  [1_234_567, '1 234 567'],
  [Number.NaN, '?'],
])('%d is written %s', (value, text) => expect(short(value)).toBe(text));

test('the markdown has a line for each row, and says what could not be measured', () => {
  const row = { figure: 'take', measured: spreadOf([1]), unit: 'N', mark: { wanted: 2, atMost: true } };
  const parts = [
    { part: 'limiter', title: 'takes', rows: [row] },
    { part: 'lease', title: 'leases', failed: 'none' },
  ];
  expect(
    asMarkdown({ machine: { cores: 2 }, parts })
      .split('\n')
      .slice(2),
  ).toEqual([
    '| take | 1 N | ≤ 2 N |  | met |',
    '| leases | could not be measured |  |  |  |',
    '',
    'cores 2',
    '',
  ]);
});

test('the chart has a bar for each, longer for more, and names that cannot break it', () => {
  const svg = chartOf([
    { label: 'a <peer> & co', value: 0.5, ours: false },
    { label: 'R', value: 1, ours: false },
    { label: 'lease', value: 1000, ours: true },
  ]);
  const widths = [...svg.matchAll(/<rect class="(\w+)"[^>]* width="([\d.]+)"/g)].map(([, who, width]) => ({
    who,
    width: Number(width),
  }));
  expect(widths.map(({ who }) => who)).toEqual(['peer', 'peer', 'ours']);
  // From 0.1 to 1 000 are four powers of ten: 1 stands at one of them, 1 000 at all four.
  expect(widths[2]!.width / widths[1]!.width).toBeCloseTo(4, 1);
  expect(svg).toContain('a &#60;peer&#62; &#38; co');
  expect(svg).toContain('prefers-color-scheme: dark');
  expect(svg).not.toContain('NaN');
});
