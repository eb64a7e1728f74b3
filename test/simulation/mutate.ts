/**
 * Plants the mutants one at a time in a copy of the sources and runs the simulation there, with the seeds of its normal run: each has
 * to break a promise, and the sources as they are must not. `tsx test/simulation/mutate.ts [--seeds 18] [--only <part of a name>]`
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { Command } from 'commander';
import { MUTANTS } from './mutants.ts';

const options = new Command('mutants')
  .description('Plants one mistake after the other; the simulation has to find each.')
  .option('--seeds <n>', 'seeds of a run; those of the sample in npm test unless said', '18')
  .option('--only <text>', 'only mutants whose name has this text', '')
  .parse()
  .opts<{ seeds: string; only: string }>();

const root = fileURLToPath(new URL('../..', import.meta.url));
const cache = join(root, '.cache');
mkdirSync(cache, { recursive: true });
const folder = mkdtempSync(join(cache, 'mutants-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const part of ['src', 'schedules', 'test/simulation', 'test/support', 'package.json', 'tsconfig.json']) {
  cpSync(join(root, part), join(folder, part), { recursive: true });
}
for (const shared of ['node_modules', '.cache/redis']) {
  mkdirSync(join(folder, shared, '..'), { recursive: true });
  symlinkSync(join(root, shared), join(folder, shared));
}

type Told = { seeds: number; broken: { promise: string; message: string; seed: number } | null };
const table = new Table({
  head: ['mutant', 'found', 'seed', 'which promise'],
  style: { head: [], border: [] },
});
const missed: string[] = [];
const chosen = MUTANTS.filter(({ name }) => name.includes(options.only));
/** Runs the simulation in the copy as it is now. */
function simulate(name: string): Told['broken'] {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'test/simulation/main.ts', '--seeds', options.seeds, '--no-shorten', '--json'],
    { cwd: folder, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  );
  const line = stdout.trim().split('\n').at(-1);
  if (!line?.startsWith('{'))
    throw new Error(`"${name}": the simulation could not be run\n${stdout}${stderr}`);
  return (JSON.parse(line) as Told).broken;
}

process.stderr.write('without a mutant\n');
const control = simulate('without a mutant');
if (control) throw new Error(`without a mutant seed ${control.seed} breaks a promise: ${control.message}`);

for (const [index, { name, file, from, to }] of chosen.entries()) {
  process.stderr.write(`${index + 1} of ${chosen.length}: ${name}\n`);
  const path = join(folder, file);
  const text = readFileSync(path, 'utf8');
  if (text.split(from).length !== 2)
    throw new Error(`"${name}": ${file} has not exactly one place with ${from}`);
  // A function, so that a $ in it stays one.
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
  const broken = simulate(name);
  writeFileSync(path, text);
  // Whatever throws is a failure, too, but no promise that somebody has looked after.
  const isFound = broken !== null && broken.promise !== 'nothing fails';
  if (!isFound) missed.push(name);
  table.push([name, isFound ? 'yes' : 'NO', broken?.seed ?? '', broken?.promise ?? '']);
}
process.stdout.write(`${table}\n`);
process.stdout.write(`mutants: ${chosen.length - missed.length} of ${chosen.length} found\n`);
process.exitCode = missed.length > 0 ? 1 : 0;
