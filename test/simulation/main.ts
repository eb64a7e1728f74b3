/**
 * `npm run simulate`: lives of fleets from seeds, each life with every order of commands, every crash and every step of the clock that
 * its seed says, and each step held against what was promised. A life that breaks a promise is told with its seed, and cut short.
 */
import cliProgress from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { Redis } from 'ioredis';
import { startRedisServer } from '../support/redis-server.ts';
import { describe, historyOf, type Setting, type Step } from './history.ts';
import { type Outcome, runHistory } from './run.ts';
import { shorten } from './shorten.ts';

type Options = {
  seed: number;
  seeds: number;
  minutes?: number;
  days: number;
  ips: number;
  shorten: boolean;
  json?: boolean;
};

const whole = (least: number) => (text: string) => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least)
    throw new InvalidArgumentError(`It must be a whole number, at least ${least}.`);
  return value;
};

const program = new Command('simulate')
  .description('Lives of fleets from seeds, each step held against what is promised.')
  .option('--seed <n>', 'the first seed', whole(1), 1)
  .option('--seeds <n>', 'so many seeds, one after the other', whole(1), 1)
  .option('--minutes <m>', 'new seeds for so long, in the place of --seeds', whole(1))
  .option('--days <n>', 'how long each life is', whole(1), 40)
  .option('--ips <n>', 'IPs that each fleet begins with', whole(1), 12)
  .option('--no-shorten', 'tell a broken promise at once, and do not look for a shorter history')
  .option('--json', 'for programs')
  .addHelpText(
    'after',
    `
Examples:
  npm run simulate -- --seed 4711 --days 40 --ips 200   one life, the same each time
  npm run simulate -- --seeds 1000                       a thousand
  npm run simulate -- --minutes 30                       new ones for half an hour`,
  );
const options = program.parse().opts<Options>();

const server = await startRedisServer();
const redis = new Redis(server.url);
/** Begins anew at another place each time. */
const first = options.minutes === undefined ? options.seed : Math.floor(Date.now() / 1000) % 1_000_000_000;
const untilMs = performance.now() + (options.minutes ?? 0) * 60_000;
const isOver = (done: number) =>
  options.minutes === undefined ? done >= options.seeds : performance.now() >= untilMs;

const isShown = process.stderr.isTTY === true && options.json !== true;
const bar = isShown
  ? new cliProgress.SingleBar({
      format: 'simulate {bar} {value} of {total} seeds, {commands} commands',
      etaBuffer: 20,
      stream: process.stderr,
    })
  : null;
bar?.start(options.seeds, 0, { commands: 0 });

const totals: Record<string, number> = { seeds: 0, commands: 0 };
let failure: { seed: number; outcome: Outcome; steps: readonly Step[] } | null = null;
for (let done = 0; !isOver(done) && !failure; done += 1) {
  const setting: Setting = { seed: first + done, days: options.days, ips: options.ips };
  const steps = historyOf(setting);
  const outcome = await runHistory(redis, setting.seed, setting.ips, steps);
  totals.seeds! += 1;
  totals.commands! += outcome.commands;
  for (const [name, sum] of Object.entries(outcome.sums)) totals[name] = (totals[name] ?? 0) + sum;
  bar?.update(done + 1, { commands: totals.commands });
  if (outcome.broken)
    failure = { seed: setting.seed, outcome, steps: steps.slice(0, outcome.broken.step + 1) };
}
bar?.stop();

if (failure && options.shorten) {
  const { seed, outcome } = failure;
  const promise = outcome.broken!.promise;
  let last = outcome;
  const short = await shorten(failure.steps, async (steps) => {
    const again = await runHistory(redis, seed, options.ips, steps);
    if (again.broken?.promise !== promise) return false;
    last = again;
    return true;
  });
  failure = { seed, outcome: last, steps: short };
}
redis.disconnect();
await server.stop();

const { broken } = failure?.outcome ?? { broken: null };
if (options.json) {
  const { seed, steps } = failure ?? {};
  process.stdout.write(
    `${JSON.stringify({ ...totals, broken: broken && { ...broken, seed, history: steps } })}\n`,
  );
} else {
  if (failure) {
    process.stdout.write(`seed ${failure.seed} breaks a promise. ${broken!.message}\n`);
    for (const step of failure.steps) process.stdout.write(`  ${describe(step)}\n`);
    process.stdout.write(
      `Again: npm run simulate -- --seed ${failure.seed} --days ${options.days} --ips ${options.ips}\n`,
    );
  }
  const told = Object.entries(totals).map(([name, sum]) => `${sum} ${name}`);
  process.stdout.write(
    `simulate: ${told.join(', ')}; ${failure ? '1 broken promise' : 'no broken promise'}\n`,
  );
}
process.exitCode = failure ? 1 : 0;
