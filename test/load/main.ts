/** `npm run load -- --minutes 30`: a long look at an engine at work, and 1 when it does not stay as it was. */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import cliProgress from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { chartOf } from './chart.ts';
import { judge, sumOf } from './judge.ts';
import { asTables, grouped, short } from './report.ts';
import { runLoad, type Told } from './run.ts';
import type { Sample } from './sample.ts';

const number = (text: string) => {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
};

const command = new Command('npm run load --')
  .description(
    'Runs mixed traffic against an engine and a Redis of its own, and tells whether memory, keys and latency stay flat.',
  )
  .option('--minutes <number>', 'how long, after the pace was found', number, 30)
  .option('--ips <number>', 'how many IPs', number, 4_000)
  .option('--json', 'everything that was measured, for programs')
  .option('--chart <file.svg>', 'the run as a picture')
  .addHelpText(
    'after',
    `
It needs a quiet machine, and ends with 1 when something grows, is over, or failed.

Examples:
  npm run load                                              half an hour, as in docs/reliability.md
  npm run load -- --minutes 2                               a look: growth is told and not judged
  npm run load -- --chart docs/images/load.svg
  npm run -s load -- --json > load.json
`,
  );
command.parse();
const { minutes, ips, json, chart } = command.opts<{
  minutes: number;
  ips: number;
  json?: true;
  chart?: string;
}>();

const SAMPLE_EVERY_MS = 10_000;
const MB = 1024 * 1024;
const bar = progressBar();
const run = await runLoad(
  {
    forMs: minutes * 60_000,
    sampleEveryMs: SAMPLE_EVERY_MS,
    ipCount: Math.ceil(ips),
    accountCount: 4,
    senderCount: 2,
    pace: 'find',
    livesPerSecond: 1,
  },
  bar.tell,
);
bar.stop();
const judgment = judge(run);
if (chart) writeFileSync(chart, chartOf(run.samples));
const machine = { node: process.versions.node, cores: availableParallelism() };
console.log(json ? JSON.stringify({ machine, ...run, judgment }, null, 2) : asTables(run, judgment));
process.exit(judgment.wrong.length > 0 ? 1 : 0);

function progressBar(): { tell: Told; stop: () => void } {
  if (!process.stderr.isTTY) return { tell() {}, stop() {} };
  const format = '{stage} {bar} {percentage} %  {figures}';
  const shown = new cliProgress.SingleBar(
    { format, stream: process.stderr, clearOnComplete: true },
    cliProgress.Presets.shades_classic,
  );
  shown.start(100, 0, { stage: 'starting', figures: '' });
  return {
    tell: ({ stage, done, total, sample }) =>
      shown.update(Math.min(100, Math.round((100 * done) / total)), {
        stage: stage.padEnd(10),
        figures: sample ? figuresOf(sample) : '',
      }),
    stop: () => shown.stop(),
  };
}

function figuresOf({ takes, requests, counts, lengthMs, rssBytes, redis, keys, errors }: Sample): string {
  const perSecond = Math.round((((counts.granted ?? 0) + (counts.denied ?? 0)) * 1000) / lengthMs);
  return [
    `${grouped(perSecond)} takes/s (p50 ${short(takes.p50Ms)}, p99 ${short(takes.p99Ms)} ms)`,
    `requests p99 ${short(requests.p99Ms)} ms`,
    `engine ${short(rssBytes.engine! / MB)} MB`,
    `Redis ${short(redis.usedBytes / MB)} MB, ${grouped(sumOf(Object.values(keys)))} keys`,
    `${errors} errors`,
  ].join(' · ');
}
