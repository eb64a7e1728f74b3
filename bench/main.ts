/**
 * `npm run bench`: takes a second at 1, 64 and 512 in flight beside a no-op script, and a tick over up to 100 000 IPs beside
 * a plain loop, and pages of lists. Read the ratios; the absolute figures belong to the machine and the hour.
 *
 *     npm run bench                      everything, about two minutes
 *     npm run bench -- limiter --json    one part, for programs
 *     npm run bench -- tick 10000        one size
 *     npm run bench -- list              what a page costs at 1 000 and at 100 000 IPs
 */
import cliProgress from 'cli-progress';
import Table from 'cli-table3';
import { benchLimiter } from './limiter.ts';
import { benchList } from './list.ts';
import { benchTick } from './tick.ts';

const words = process.argv.slice(2);
const json = words.includes('--json');
const part = words.find((word) => ['limiter', 'tick', 'list'].includes(word));
const sizes = words.map(Number).filter((size) => Number.isInteger(size) && size > 0);
const results: Record<string, unknown> = {};

function progress(title: string): { step: (done: number, total: number) => void; stop: () => void } {
  if (json || !process.stderr.isTTY) return { step() {}, stop() {} };
  const bar = new cliProgress.SingleBar(
    { format: `${title} {bar} {percentage} %`, stream: process.stderr },
    cliProgress.Presets.shades_classic,
  );
  bar.start(100, 0);
  return { step: (done, total) => bar.update(Math.round((100 * done) / total)), stop: () => bar.stop() };
}

if (part === undefined || part === 'limiter') {
  const bar = progress('limiter');
  const limiter = await benchLimiter(bar.step);
  bar.stop();
  results.limiter = limiter;
  if (!json) {
    const table = new Table({
      head: [
        'takes a second (ratio to the no-op)',
        ...limiter[0]!.at.map(({ inFlight }) => `${inFlight} in flight`),
      ],
      style: { head: [], border: [] },
    });
    for (const { name, at } of limiter)
      table.push([
        name,
        ...at.map(({ perSecond, ratioToNoop }) => `${perSecond} (${ratioToNoop.toFixed(2)})`),
      ]);
    console.log(`${table}\nmedians of 9 rounds; ratios are medians of the ratios of each round`);
  }
}
if (part === undefined || part === 'tick') {
  const bar = progress('tick');
  const tick = await benchTick(sizes.length > 0 ? sizes : [1_000, 10_000, 100_000], bar.step);
  bar.stop();
  results.tick = tick;
  if (!json) {
    const table = new Table({
      head: ['due IPs', 'tick', 'IPs a second', 'plain loop of the same writes', 'ratio', 'bytes an IP'],
      style: { head: [], border: [] },
    });
    for (const one of tick) {
      table.push([
        one.ips,
        `${one.tickSeconds.toFixed(2)} s`,
        one.ipsPerSecond,
        `${one.plainSeconds.toFixed(2)} s`,
        one.ratioToPlain.toFixed(2),
        one.bytesPerIp,
      ]);
    }
    console.log(`${table}`);
  }
}
if (part === undefined || part === 'list') {
  const counts = sizes.length > 0 ? sizes : [1_000, 100_000];
  const bar = progress('list');
  const list = await benchList(counts, bar.step);
  bar.stop();
  results.list = list;
  if (!json) {
    const head = ['a page of 100, from the middle', ...counts.map((count) => `${count} IPs`)];
    const table = new Table({ head, style: { head: [], border: [] } });
    for (const { name, at } of list)
      table.push([name, ...at.map(({ milliseconds }) => `${milliseconds.toFixed(2)} ms`)]);
    console.log(`${table}`);
  }
}
if (json) console.log(JSON.stringify(results, null, 2));
