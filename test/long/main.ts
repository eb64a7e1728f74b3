/**
 * `npm run test:long`: what the samples in `npm test` are taken from, whole: a thousand seeds, all mutants, 50 kills, 100 000
 * requests, half an hour of load. About two hours on two cores, one after the other, so that none disturbs another.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';

const PARTS: Readonly<Record<string, { what: string; args: readonly string[] }>> = {
  simulation: { what: '1 000 seeds of 40 days', args: ['test/simulation/main.ts', '--seeds', '1000'] },
  mutants: { what: 'each mistake planted, and found', args: ['test/simulation/mutate.ts'] },
  kills: {
    what: '50 kill -9 of Redis under load',
    args: ['test/faults/main.ts', '--only', 'kill-redis-always', '--times', '50'],
  },
  fuzz: { what: '100 000 hostile requests', args: ['test/fuzz/http.ts', '--requests', '100000'] },
  load: { what: '30 minutes of mixed traffic', args: ['test/load/main.ts', '--minutes', '30'] },
};

const names = Object.keys(PARTS);
function only(text: string, before: string[] = []): string[] {
  const unknown = text.split(',').find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`There is no part "${unknown}"; there are ${names.join(', ')}.`);
  return [...before, ...text.split(',')];
}

const command = new Command('npm run test:long --')
  .description('The long trials, one after the other; ends with 1 when one of them failed.')
  .option('--only <part>', `only this part; several with commas: ${names.join(', ')}`, only)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .addHelpText('after', '\nExample:\n  npm run test:long -- --only simulation,mutants');
command.parse();
const chosen = command.opts<{ only?: string[] }>().only ?? names;

const root = fileURLToPath(new URL('../..', import.meta.url));
const table = new Table({
  head: ['part', 'minutes', 'ended', 'what it said last'],
  style: { head: [], border: [] },
});
for (const name of names.filter((one) => chosen.includes(one))) {
  const { what, args } = PARTS[name]!;
  process.stderr.write(`${name}: ${what}\n`);
  const begunMs = performance.now();
  // Young objects get the room that `npm start` gives them.
  const child = spawn(process.execPath, ['--max-semi-space-size=64', '--import', 'tsx', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = '';
  createInterface(child.stdout).on('line', (line) => {
    process.stdout.write(`  ${line}\n`);
    if (line.trim() !== '') last = line.trim();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) process.exitCode = 1;
  table.push([
    name,
    ((performance.now() - begunMs) / 60_000).toFixed(1),
    code === 0 ? 'well' : `with ${code}`,
    last.slice(0, 90),
  ]);
}
process.stdout.write(`${table}\n`);
