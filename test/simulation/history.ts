/**
 * A history: the steps of a simulation, made from its seed before anything runs. Each step has a seed of its own for what happens
 * between the commands, so that steps can be left out and the others still do what they did.
 */
import type { Random } from './random.ts';
import { randomOf } from './random.ts';

const KINDS = [
  'create',
  'bring',
  'start',
  'end',
  'hold',
  'resume',
  'holdPool',
  'resumePool',
  'release',
  'restore',
  'ceiling',
  'makePool',
  'join',
  'leave',
  'dropPool',
  'defaultPool',
  'take',
  'takePool',
  'takeMany',
  'refund',
  'lease',
  'spend',
  'giveBack',
  'closeLease',
  'tick',
  'sweep',
  'kill',
  'pass',
  'edge',
  'clockStep',
  'calm',
  'patience',
  'late',
] as const;
export type Kind = (typeof KINDS)[number];

export type Step = {
  readonly kind: Kind;
  /** Which of the IPs, pools, accounts, processes, receipts there are; taken modulo their number. */
  readonly which: number;
  readonly other: number;
  readonly count: number;
  readonly ms: number;
  readonly flag: boolean;
  /** So many commands are let through before the next step begins. */
  readonly commands: number;
  readonly seed: number;
};

export type Setting = { readonly seed: number; readonly days: number; readonly ips: number };

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** How often each is done in a day of the simulation, on average, in tenths. */
const PER_DAY: readonly (readonly [tenths: number, kind: Kind])[] = [
  [4, 'create'],
  [4, 'bring'],
  [8, 'start'],
  [1, 'end'],
  [5, 'hold'],
  [5, 'resume'],
  [2, 'holdPool'],
  [3, 'resumePool'],
  [3, 'release'],
  [3, 'restore'],
  [3, 'ceiling'],
  [2, 'makePool'],
  [8, 'join'],
  [3, 'leave'],
  [1, 'dropPool'],
  [2, 'defaultPool'],
  [60, 'take'],
  [50, 'takePool'],
  [25, 'takeMany'],
  [20, 'refund'],
  [10, 'lease'],
  [40, 'spend'],
  [8, 'giveBack'],
  [5, 'closeLease'],
  [30, 'tick'],
  [2, 'sweep'],
  [6, 'kill'],
  [50, 'pass'],
  [20, 'edge'],
  [4, 'clockStep'],
  [4, 'calm'],
  [4, 'patience'],
  [2, 'late'],
];

/** The days pass by these steps, so there are enough of them for each day. */
const moves: ReadonlySet<Kind> = new Set(['pass', 'edge', 'clockStep']);

function msOf(random: Random, kind: Kind): number {
  if (kind === 'clockStep') {
    const size = random.weighted<() => number>([
      [4, () => random.int(1, 4_000)],
      [4, () => random.int(5 * SECOND_MS, 50 * MINUTE_MS)],
      [1, () => random.int(HOUR_MS, 5 * HOUR_MS)],
    ])();
    return random.chance(60) ? -size : size;
  }
  if (kind === 'edge') return random.int(-1, 1);
  if (kind === 'hold' || kind === 'holdPool') return random.int(MINUTE_MS, 3 * DAY_MS);
  if (kind === 'late') return random.int(1, 6) * DAY_MS;
  return random.weighted<() => number>([
    [6, () => random.int(1, 300)],
    [6, () => random.int(300, 1_500)],
    [4, () => random.int(SECOND_MS, 5 * MINUTE_MS)],
    [4, () => random.int(5 * MINUTE_MS, 90 * MINUTE_MS)],
    [2, () => random.int(HOUR_MS, 6 * HOUR_MS)],
  ])();
}

function stepOf(random: Random, kind: Kind): Step {
  return {
    kind,
    which: random.int(0, 9_999),
    other: random.int(0, 9_999),
    count: random.weighted<() => number>([
      [5, () => 1],
      [4, () => random.int(1, 9)],
      [1, () => random.int(1, 120)],
    ])(),
    ms: msOf(random, kind),
    flag: random.chance(35),
    // Often none: then the operations of several steps are under way at once.
    commands: random.chance(40) ? random.int(0, 3) : random.int(4, 40),
    seed: random.int(0, 0x7fffffff),
  };
}

/** A lease on one IP, some of it spent, a stop of that IP, and spending that goes on for some seconds. Chance alone would hardly do it. */
function stopWhatIsLeased(random: Random): Step[] {
  const which = random.int(0, 9_999);
  const seed = random.int(0, 0x7fffffff);
  // The process is chosen by the seed; with 3 the lease is for one IP of the first account, and the hold has an end.
  const step = (kind: Kind, given: Partial<Step> = {}): Step => ({
    ...stepOf(random, kind),
    ...{ which, other: 3, count: 1, flag: false, commands: 40, seed },
    ...given,
  });
  const spend = () => [0, 1, 2, 3].map((lease) => step('spend', { which: lease }));
  return [
    step('lease'),
    ...spend(),
    step('hold', { ms: HOUR_MS }),
    step('pass', { ms: random.int(500, 950) }),
    ...spend(),
    step('pass', { ms: random.int(500, 3_500) }),
    ...spend(),
  ];
}

export function historyOf({ seed, days, ips }: Setting): Step[] {
  const random = randomOf(seed);
  const steps: Step[] = [];
  // A fleet to begin with: most of it in the first days.
  for (let ip = 0; ip < ips; ip += 1) {
    steps.push({ ...stepOf(random, random.chance(50) ? 'create' : 'bring'), commands: 20 });
    if (random.chance(70)) steps.push(stepOf(random, 'start'));
    if (random.chance(50)) steps.push(stepOf(random, 'join'));
    if (random.chance(10)) steps.push(stepOf(random, 'makePool'));
  }
  for (let passedMs = 0; passedMs < days * DAY_MS; ) {
    const kind = random.weighted(PER_DAY);
    if (kind === 'lease' && random.chance(40)) steps.push(...stopWhatIsLeased(random));
    const step = stepOf(random, kind);
    if (moves.has(step.kind)) passedMs += Math.max(0, step.kind === 'edge' ? HOUR_MS / 2 : step.ms);
    if (step.kind === 'late') passedMs += step.ms;
    steps.push(step);
  }
  steps.push({ ...stepOf(random, 'calm') });
  return steps;
}

export function describe({ kind, which, other, count, ms, flag, commands }: Step): string {
  return `${kind} which ${which} other ${other} count ${count} ms ${ms}${flag ? ' flag' : ''}, then ${commands} commands`;
}
