/** How the trials went: a table for people, JSON for programs, markdown for docs/reliability.md. */
import Table from 'cli-table3';
import type { Round } from './round.ts';
import { broken, isGood, type Outcome } from './run.ts';

const HEAD = ['fault', 'times', 'what a sender saw', 'lost', 'over', 'heals after (takes; API; ticks)'];

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0;
const sumOf = (rounds: readonly Round[], of: (round: Round) => number) =>
  rounds.reduce((sum, round) => sum + of(round), 0);
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
const grouped = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, ' ');

function spread(rounds: readonly Round[], of: (round: Round) => number): string {
  const values = rounds.map(of);
  const [middle, most] = [median(values), Math.max(...values)];
  return seconds(middle) === seconds(most) ? seconds(most) : `${seconds(middle)} (at most ${seconds(most)})`;
}

function seen({ rounds }: Outcome): string {
  const silence = `no grant for ${spread(rounds, ({ silentMs }) => silentMs.takes)}`;
  const denials = sumOf(rounds, ({ unreachable }) => unreachable);
  const slowest = `slowest take ${seconds(Math.max(...rounds.map(({ longestTurnMs }) => longestTurnMs)))}`;
  const open = sumOf(rounds, ({ openSends }) => openSends);
  return [
    silence,
    denials > 0 ? 'denied as `unreachable`' : 'never `unreachable`',
    slowest,
    ...(open > 0 ? [`with \`allow-active\` ${grouped(open)} sends went on`] : []),
  ].join(', ');
}

function lost({ rounds, scenario }: Outcome): string {
  const changes = sumOf(rounds, ({ changesLost }) => changesLost.length);
  const acknowledged = sumOf(rounds, (round) => round.acknowledged);
  const ofChanges = `${grouped(changes)} of ${grouped(acknowledged)} changes`;
  if (scenario.mayLose === 'nothing') return `${ofChanges}, ${sumOf(rounds, (r) => r.grantsLost)} grants`;
  return `${ofChanges}; grants forgotten: ${most(rounds, (round) => round.grantsLost)}`;
}

const most = (rounds: readonly Round[], of: (round: Round) => number) => {
  const values = rounds.map(of);
  return `${grouped(median(values))} (at most ${grouped(Math.max(...values))})`;
};

function over({ rounds, scenario }: Outcome): string {
  const granted = sumOf(rounds, (round) => round.granted);
  const sum = sumOf(rounds, (round) => round.over.hourly + round.over.daily);
  if (sum === 0) return `0 of ${grouped(granted)} sends`;
  if (scenario.mayLose === 'nothing') return `**${grouped(sum)}** of ${grouped(granted)} sends`;
  return `hourly caps: ${most(rounds, (round) => round.over.hourly)}; daily limits alone: ${most(rounds, (round) => round.over.daily)}`;
}

function cellsOf(outcome: Outcome): string[] {
  const { scenario, rounds, failure, skipped } = outcome;
  const empty = [scenario.title, String(rounds.length)];
  if (skipped) return [...empty, skipped, '', '', ''];
  if (rounds.length === 0) return [...empty, `FAILED: ${failure}`, '', '', ''];
  const heals = (['senders', 'api', 'workers'] as const).map((who) =>
    spread(rounds, ({ healsMs }) => healsMs[who]),
  );
  return [
    ...empty,
    failure ? `FAILED: ${failure}` : seen(outcome),
    lost(outcome),
    over(outcome),
    heals.join('; '),
  ];
}

export function asTable(outcomes: readonly Outcome[]): string {
  const table = new Table({
    head: HEAD,
    wordWrap: true,
    colWidths: [30, 7, 36, 22, 24, 26],
    style: { head: [] },
  });
  for (const outcome of outcomes) table.push(cellsOf(outcome));
  return table.toString();
}

export function asMarkdown(outcomes: readonly Outcome[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [row(HEAD), row(HEAD.map(() => '---')), ...outcomes.map((outcome) => row(cellsOf(outcome)))].join(
    '\n',
  );
}

export function asJson(outcomes: readonly Outcome[]): string {
  const parts = outcomes.map((outcome) => ({
    fault: outcome.scenario.name,
    title: outcome.scenario.title,
    good: isGood(outcome),
    failure: outcome.failure,
    skipped: outcome.skipped,
    rounds: outcome.rounds,
  }));
  return JSON.stringify({ faults: parts }, null, 2);
}

/** One line for whoever looks at nothing else: `kill-redis-always: 50 kills, lost 0, over 0`. */
export function verdict(outcome: Outcome): string {
  const { scenario, rounds, failure, skipped } = outcome;
  if (skipped) return `${scenario.name}: not tried. ${skipped}`;
  const changes = sumOf(rounds, ({ changesLost }) => changesLost.length);
  const sends = sumOf(rounds, (round) => round.over.hourly + round.over.daily);
  const what = scenario.name.startsWith('kill-redis') ? 'kills' : 'times';
  const line = `${scenario.name}: ${rounds.length} ${what}, lost ${changes}, over ${sends}`;
  const wrong = rounds.flatMap((round) => broken(scenario, round));
  return [line, ...wrong.slice(0, 3), ...(failure ? [`failed: ${failure}`] : [])].join('; ');
}
