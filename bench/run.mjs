/*
 * Compiles what is measured and runs it. Users run compiled code, and a loader that compiles on the fly (tsx) wraps every
 * inner function to keep its name, which costs the hot path more than much of what is measured here.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';

// The process that is measured has one core: parallel collectors would take turns on it with the program, and shake everybody's
// figures.
setFlagsFromString('--no-parallel-scavenge');

const root = fileURLToPath(new URL('..', import.meta.url));
const cache = join(root, '.cache');
mkdirSync(cache, { recursive: true });
// A folder of its own, so that two runs at once, or a change while one runs, do no harm.
const folder = mkdtempSync(join(cache, 'bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) {
  process.once(signal, () => process.exit(code));
}

const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'bench'), '--outDir', folder], {
  encoding: 'utf8',
});
const main = join(folder, 'bench', 'main.js');
if (!existsSync(main)) {
  process.stderr.write(
    `${stdout}\nThe benchmark could not be compiled: the compiler named the reasons above.\n`,
  );
  process.exit(1);
}
if (status !== 0)
  process.stderr.write(`${stdout}\nThe sources do not type-check; they are measured all the same.\n`);
for (const part of ['src', 'schedules']) {
  cpSync(join(root, part), join(folder, part), { recursive: true, filter: (path) => !path.endsWith('.ts') });
}
await import(pathToFileURL(main).href);
