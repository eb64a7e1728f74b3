/**
 * `npm run bench`: starts a Redis of its own, runs Warmline and the peers in turn, and prints what came out. It reports and
 * does not judge: a figure that misses its mark ends with 0 all the same, a part that cannot be measured with 1.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import cliProgress from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { findRedisServer } from '../src/runtime/redis-binary.ts';
import { aof } from './aof.ts';
import { cap } from './cap.ts';
import { chartOf } from './chart.ts';
import { cluster } from './cluster.ts';
import { http } from './http.ts';
import { lease } from './lease.ts';
import { limiter } from './limiter.ts';
import { list } from './list.ts';
import { memory } from './memory.ts';
import { network } from './network.ts';
import type { Part } from './part.ts';
import { pin } from './processes.ts';
import { asJson, asMarkdown, asTables, barsOf, type Report } from './report.ts';
import { hold, share } from './senders.ts';
import { tick } from './tick.ts';

const PARTS: Record<string, Part> = {
  ...{ limiter, lease, http, aof, tick, memory },
  ...{ network, hold, share, cap, cluster, list },
};

/** 9 is the fewest that quartiles mean something of; 13 is what ten minutes allow. */
const ROUNDS = 13;
const QUICK_ROUNDS = 3;
const SLICE_MS = 200;
const QUICK_SLICE_MS = 100;

type Options = {
  rounds?: number;
  slice?: number;
  quick?: true;
  json?: true;
  markdown?: true;
  chart?: string;
};

const wholeNumber = (text: string) => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1)
    throw new InvalidArgumentError('It must be a whole number from 1.');
  return number;
};

const partList = Object.entries(PARTS)
  .map(([name, { title, inAll }]) => `  ${name.padEnd(9)} ${title}${inAll ? '' : ' (by its name only)'}`)
  .join('\n');

const command = new Command('npm run bench --')
  .description('Measures Warmline beside its peers, on a Redis that it starts and stops.')
  .argument('[part...]', 'what to measure; those of the plain run unless said, `all` is every one')
  .option('--quick', `a look: ${QUICK_ROUNDS} short rounds, smaller fleets`)
  .option('--rounds <number>', `how many rounds (default ${ROUNDS})`, wholeNumber)
  .option('--slice <ms>', `how long each has its turn in a round (default ${SLICE_MS})`, wholeNumber)
  .option('--json', 'everything that was measured, for programs')
  .option('--markdown', 'the table as markdown, for bench/README.md')
  .option('--chart <file.svg>', 'the bars as an SVG file')
  .addHelpText(
    'after',
    `
Parts:
${partList}

Examples:
  npm run bench                                     what bench/README.md shows, about ten minutes
  npm run bench -- limiter --quick                  a look at one part
  npm run bench -- limiter lease --chart rates.svg
  npm run -s bench -- --json > bench.json
`,
  );

command.parse();
const given = command.opts<Options>();
const names = namesOf(command.args);
const report: Report = { machine: {}, parts: [] };
report.machine = describeMachine();
for (const name of names) report.parts.push(await measure(name));

if (given.chart) {
  const bars = barsOf(report);
  if (bars.length > 0) writeFileSync(given.chart, chartOf(bars));
  else console.error(`${given.chart} was not written: the parts limiter and lease have the bars`);
}
console.log((given.json ? asJson : given.markdown ? asMarkdown : asTables)(report));
// Whatever a part that failed has left open must not hold up the end.
process.exit(report.parts.some((part) => 'failed' in part) ? 1 : 0);

function namesOf(words: readonly string[]): string[] {
  if (words.length === 0) return Object.keys(PARTS).filter((name) => PARTS[name]!.inAll);
  if (words.includes('all')) return Object.keys(PARTS);
  const unknown = words.find((word) => !Object.hasOwn(PARTS, word));
  if (unknown !== undefined) {
    console.error(`there is no part "${unknown}"; there are ${Object.keys(PARTS).join(', ')} and all`);
    process.exit(2);
  }
  return [...words];
}

async function measure(name: string): Promise<Report['parts'][number]> {
  const { title, run } = PARTS[name]!;
  const quick = given.quick === true;
  const bar = progress(name);
  // What is thrown where nobody waits for it (in a listener) ends this part and not the others.
  let fail = (_: Error) => {};
  const thrown = new Promise<never>((_, reject) => {
    fail = reject;
  });
  process.on('uncaughtException', fail);
  try {
    const running = run({
      quick,
      rounds: given.rounds ?? (quick ? QUICK_ROUNDS : ROUNDS),
      sliceMs: given.slice ?? (quick ? QUICK_SLICE_MS : SLICE_MS),
      step: bar.step,
    });
    const result = await Promise.race([running, thrown]);
    return { part: name, title, ...result };
  } catch (error) {
    if (process.env.DEBUG) console.error(error);
    return { part: name, title, failed: error instanceof Error ? error.message : String(error) };
  } finally {
    process.off('uncaughtException', fail);
    bar.stop();
  }
}

function progress(title: string): { step: (done: number, total: number) => void; stop: () => void } {
  if (!process.stderr.isTTY) return { step() {}, stop() {} };
  const bar = new cliProgress.SingleBar(
    { format: `${title.padEnd(9)} {bar} {percentage} %`, stream: process.stderr, clearOnComplete: true },
    cliProgress.Presets.shades_classic,
  );
  bar.start(100, 0);
  return { step: (done, total) => bar.update(Math.round((100 * done) / total)), stop: () => bar.stop() };
}

function describeMachine(): Report['machine'] {
  const all = cpus();
  const [lastMinute] = loadavg();
  const busy = (lastMinute ?? 0) > 0.5;
  if (busy) {
    console.error(
      `this machine is busy (load ${lastMinute!.toFixed(1)}): ratios will be rough; a figure worth keeping needs a quiet one`,
    );
  }
  const redis = findRedisServer();
  const said = redis ? execFileSync(redis, ['--version'], { encoding: 'utf8' }) : '';
  return {
    Node: process.versions.node,
    Redis: /v=([\d.]+)/.exec(said)?.[1] ?? 'none',
    cores: all.length,
    processor: all[0]?.model.trim() ?? 'unknown',
    pinned: pin(process.pid, 'client') ? 'yes' : 'no',
    'load before': (lastMinute ?? 0).toFixed(2),
  };
}
