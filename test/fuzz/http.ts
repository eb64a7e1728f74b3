/** `npm run fuzz -- --requests 100000 --seed 7`: hostile requests to all routes of the API and of the dashboard. */
import { parseArgs } from 'node:util';
import { fuzz, type Report } from './run.ts';

const HELP = `Usage: npm run fuzz -- [--requests 100000] [--seed N] [--at-once 16] [--json]

Sends valid, nearly valid and hostile requests to a server of its own, over a Redis of its own on a test clock, and looks at
every answer and every line of the log. Every choice comes from the seed. Exit 1 when it finds something, 2 for misuse.

Examples:
  $ npm run fuzz -- --requests 2000              with a new seed
  $ npm run fuzz -- --requests 2000 --seed 7     the same again
  $ npm run fuzz -- --requests 2000 --seed 7 --at-once 1     one after the other, for a finding that hangs on the order
`;

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  process.stderr.write(`fuzz: --${name} is "${text}"; give a whole number from 1 to 999999999\n`);
  process.exit(2);
}

function settings() {
  try {
    return parseArgs({
      options: {
        requests: { type: 'string', default: '100000' },
        seed: { type: 'string', default: String((Date.now() % 999_999_999) + 1) },
        'at-once': { type: 'string', default: '16' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    process.stderr.write(`fuzz: ${(error as Error).message}\n`);
    return process.exit(2);
  }
}

function showProgress(total: number) {
  const begunMs = performance.now();
  return (done: number, findings: number) => {
    if (!process.stderr.isTTY && done % Math.ceil(total / 20) > 249) return;
    const rate = Math.round(done / ((performance.now() - begunMs) / 1000));
    process.stderr.write(
      `${process.stderr.isTTY ? '\r' : ''}${done} of ${total} requests, ${rate}/s, ${findings} findings${process.stderr.isTTY ? ' ' : '\n'}`,
    );
  };
}

const listed = (counts: Record<string, number>) =>
  Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, number]) => `${name} ${number}`)
    .join(', ');

function inWords({ seed, byKind, byClass, byStatus, before, after, slowest, seconds }: Report): string {
  return [
    `by kind: ${listed(byKind)}`,
    `by class: ${listed(byClass)}`,
    `by status: ${listed(byStatus)}`,
    `Redis: ${before.keys} -> ${after.keys} keys, ${before.redisMb} -> ${after.redisMb} MB`,
    `slowest: ${slowest.ms} ms, ${slowest.request}`,
    `seed ${seed}, ${seconds} s`,
    '',
  ].join('\n');
}

const { requests: wanted, seed: named, 'at-once': together, json, help } = settings();
if (help) {
  process.stdout.write(HELP);
} else {
  const [requests, seed] = [wholeNumber('requests', wanted), wholeNumber('seed', named)];
  const atOnce = wholeNumber('at-once', together);
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort()).once('SIGTERM', () => stop.abort());
  const report = await fuzz({
    ...{ requests, seed, atOnce, progress: showProgress(requests), signal: stop.signal },
    onFinding: ({ at, what, request, answer }) => {
      process.stderr.write(`\n#${at} (--seed ${seed}): ${what}\n${request}\n${answer}\n`);
    },
  });
  const { findings, before, after } = report;
  const line = `fuzz: ${report.requests} requests, ${findings.length} findings, heap ${before.heapMb} -> ${after.heapMb} MB`;
  process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : `${inWords(report)}${line}\n`);
  if (json) process.stderr.write(`${line}\n`);
  process.exitCode = findings.length > 0 ? 1 : 0;
}
