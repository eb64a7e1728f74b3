/** `warmline demo`: a whole warm-up in about a minute, with a progress bar, a table at the end, and a verdict. */
import cliProgress from 'cli-progress';
import Table from 'cli-table3';
import type { Command } from 'commander';
import { createLog } from '../runtime/log.ts';
import { type DemoResult, type Progress, runDemo } from './demo/conductor.ts';
import { coloured } from './table.ts';

export function register(command: Command): void {
  command
    .option('--json', 'one JSON object at the end, and no progress bar')
    .addHelpText(
      'after',
      `
What it does: a Redis of its own, a worker, and four sender processes that send real mail over real SMTP to a sink on this
machine, from 127.0.10.1, .2 (new) and .3 (already active), all in one pool. A test clock walks through the 14 days.
It ends with 1 if any hour or day of any IP went over, or if a single send is unaccounted for.

Examples:
  warmline demo
  warmline demo --json | jq .problems`,
    )
    .action(async ({ json }: { json?: boolean }) => {
      const log = createLog({ level: process.env.LOG_LEVEL === 'debug' ? 'debug' : 'silent' });
      const result = await runDemo({
        log,
        progress: json || !process.stderr.isTTY ? quietProgress : progressBar,
      });
      process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : describe(result));
      process.exitCode = result.problems.length > 0 ? 1 : 0;
    });
}

const quietProgress = (total: number): Progress => ({ total, step() {} });

function progressBar(total: number): Progress {
  const bar = new cliProgress.SingleBar(
    {
      format: 'day {day} of 14 {bar} {percentage} % | {value} of {total} hours',
      stream: process.stderr,
      hideCursor: true,
    },
    cliProgress.Presets.shades_classic,
  );
  bar.start(total, 0, { day: 1 });
  return {
    total,
    step(done, day) {
      bar.update(done, { day });
      if (done === total) bar.stop();
    },
  };
}

const grouped = (value: number) => value.toLocaleString('en-US').replaceAll(',', ' ');

function describe({ days, totals, faults, problems, hours, seconds }: DemoResult): string {
  const table = new Table({
    head: ['day', 'limit', 'can be sent', 'granted', 'delivered', 'overflow'],
    colAligns: Array<'right'>(6).fill('right'),
    style: { head: [], border: [] },
  });
  for (const { warmupDay, limit, sendable, granted, delivered, overflow } of days) {
    const cells = [sendable, granted, delivered, overflow].map(grouped);
    table.push([warmupDay, limit === null ? 'unlimited' : grouped(limit), ...cells]);
  }
  const lines = [
    table.toString(),
    'limit, can be sent, granted and delivered: the two warming IPs together; overflow: granted to the active one.',
    `${grouped(totals.offered)} sends offered in ${hours} hours: ${grouped(totals.granted)} granted = ${grouped(totals.delivered)} delivered + ${grouped(totals.refunded)} refunded + ${grouped(totals.bounced)} refused + ${grouped(totals.deferred)} deferred or cut off, which were sent again.`,
    `The receiver deferred ${faults.deferred} times, refused a recipient ${faults.refused} times and cut the connection ${faults.cut} times.`,
    `It took ${seconds.toFixed(0)} s.`,
    '',
  ];
  const verdict =
    problems.length === 0
      ? coloured('green', 'Nothing went over, nothing was lost, and each IP became active once.')
      : problems.map((problem) => coloured('red', `problem: ${problem}`)).join('\n');
  return `${lines.join('\n')}${verdict}\n`;
}
