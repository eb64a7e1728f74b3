/** `npm run upgrade -- [--from REV] [--minutes M] [--steps N] [--seed N]`: a rolling upgrade from an earlier revision, and back. */
import { Command, InvalidArgumentError } from 'commander';
import { killAll } from '../operate/processes.ts';
import { startFleet } from '../support/fleet.ts';
import { killPrograms } from '../support/processes.ts';
import { checkOut, findRevision, recordVersionOf } from './earlier.ts';
import { type Figures, rollingUpgrade } from './rolling.ts';

const whole = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
};

type Options = { from: string; minutes: number; steps: number; seed: number };
const values = new Command('npm run upgrade --')
  .description('A rolling upgrade from an earlier revision to this one, both at once on one Redis, and back.')
  .option('--from <revision>', 'the earlier one', 'HEAD~1')
  .option('--minutes <n>', 'so long, with one seed after the other; 0 is once', whole, 1)
  .option('--steps <n>', 'of three hours each, in every phase', whole, 16)
  .option('--seed <n>', 'the first seed', whole, Date.now() % 1_000_000)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .addHelpText('after', '\nExample:\n  npm run upgrade -- --from v0.1.0 --seed 7 --steps 5 --minutes 0')
  .parse()
  .opts<Options>();
const sha = findRevision(values.from);
if (sha === null) {
  process.stderr.write(
    `there is no revision "${values.from}" in this checkout; name another one with --from\n`,
  );
  process.exit(2);
}
const here = new URL('../..', import.meta.url).pathname;
const earlier = checkOut(sha);
const andBack = recordVersionOf(earlier.root) === recordVersionOf(here);
const untilMs = performance.now() + values.minutes * 60_000;
const all: Figures[] = [];
for (let seed = values.seed; all.length === 0 || performance.now() < untilMs; seed += 1) {
  const fleet = await startFleet({ clock: Date.UTC(2026, 2, 2, 9), config: ['--appendonly', 'yes'] });
  try {
    const say = (text: string) => void process.stderr.write(`seed ${seed}: ${text}\n`);
    all.push(await rollingUpgrade(fleet, earlier.root, { seed, steps: values.steps, andBack, say }));
  } finally {
    killAll();
    killPrograms();
    await fleet.stop();
  }
}
const sum = (of: (figures: Figures) => number) => all.reduce((total, figures) => total + of(figures), 0);
process.stdout.write(
  `from ${sha.slice(0, 7)}: ${all.length} runs of ${all[0]!.steps} steps of 3 h, ${andBack ? 'and back, ' : ''}` +
    `${sum((f) => f.sends)} sends (${sum((f) => f.leased)} leased, ${sum((f) => f.refunded)} refunded), ` +
    `${sum((f) => f.changes)} changes asked for, ${sum((f) => f.statusChanges)} of a status; ` +
    `promises broken: ${sum((f) => f.broken.length)}\n`,
);
for (const sentence of all.flatMap(({ broken }) => broken).slice(0, 20))
  process.stdout.write(`  ${sentence}\n`);
process.exit(all.some(({ broken }) => broken.length > 0) ? 1 : 0);
