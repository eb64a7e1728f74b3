/** `npm run upgrade -- [--from REV] [--minutes M] [--steps N] [--seed N]`: a rolling upgrade from an earlier revision, and back. */
import { parseArgs } from 'node:util';
import { killAll } from '../operate/processes.ts';
import { startFleet } from '../support/fleet.ts';
import { killPrograms } from '../support/processes.ts';
import { checkOut, findRevision, recordVersionOf } from './earlier.ts';
import { type Figures, rollingUpgrade } from './rolling.ts';

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: 'HEAD~1' },
    minutes: { type: 'string', default: '1' },
    steps: { type: 'string', default: '16' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
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
const untilMs = performance.now() + Number(values.minutes) * 60_000;
const all: Figures[] = [];
for (let seed = Number(values.seed); all.length === 0 || performance.now() < untilMs; seed += 1) {
  const fleet = await startFleet({ clock: Date.UTC(2026, 2, 2, 9), config: ['--appendonly', 'yes'] });
  try {
    const say = (text: string) => void process.stderr.write(`seed ${seed}: ${text}\n`);
    all.push(await rollingUpgrade(fleet, earlier.root, { seed, steps: Number(values.steps), andBack, say }));
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
