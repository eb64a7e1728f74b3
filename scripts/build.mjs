import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { alone, CACHE, inProject, main, ROOT, SetupProblem, say } from './project.mjs';

/*
 * Builds dist: the compiled sources, and beside them what the compiler leaves out (Lua, CSS, JSON, sh). It is built aside
 * and moved in file by file, so that a process that runs from dist never reads half a file, and a build that fails changes
 * nothing.
 */

const SOURCES = ['src', 'schedules'];
const DIST = inProject('dist');
/** Written last and removed first: while it is there, dist is whole, and it says of which sources. */
const STAMP = join(DIST, '.built');

export function isBuilt() {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === fingerprint();
}

/** Builds what is there now. The caller is `alone`. */
export function build() {
  say('Building dist.');
  const ofSources = fingerprint();
  const aside = join(CACHE, 'build');
  rmSync(aside, { recursive: true, force: true });
  compile(aside);
  copyOthers(aside);
  const command = join(aside, 'src', 'cli', 'main.js');
  if (existsSync(command)) chmodSync(command, 0o755);

  rmSync(STAMP, { force: true });
  moveIn(aside);
  writeFileSync(`${STAMP}.new`, ofSources);
  renameSync(`${STAMP}.new`, STAMP);
  rmSync(aside, { recursive: true, force: true });
}

/** Of the contents and not of the times, which a checkout, a copy or a restored cache set as they like. */
function fingerprint() {
  const hash = createHash('sha256');
  const files = SOURCES.flatMap((folder) => filesIn(inProject(folder)));
  for (const path of [...files, inProject('tsconfig.json'), inProject('package.json')]) {
    const content = readFileSync(path);
    hash.update(`${relative(ROOT, path)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

function compile(aside) {
  const tsc = inProject('node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', inProject('tsconfig.json'), '--outDir', aside, '--noEmit', 'false'];
  const { status, error } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    stdio: ['ignore', process.stderr, 'inherit'],
  });
  if (error) throw error;
  if (status !== 0)
    throw new SetupProblem('The build failed: the compiler named the reasons above, and dist is as it was.');
  for (const path of filesIn(aside).filter((file) => file.endsWith('.map'))) {
    // .cache/build is one folder deeper than dist, so every way back to a source is one step shorter from there.
    const map = JSON.parse(readFileSync(path, 'utf8'));
    map.sources = map.sources.map((source) => source.replace('../', ''));
    writeFileSync(path, JSON.stringify(map));
  }
}

function copyOthers(aside) {
  for (const folder of SOURCES) {
    for (const path of filesIn(inProject(folder))) {
      if (path.endsWith('.ts')) continue;
      const target = join(aside, relative(ROOT, path));
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(path, target);
    }
  }
}

function moveIn(aside) {
  const fresh = new Set(filesIn(aside).map((path) => relative(aside, path)));
  for (const path of fresh) {
    const [from, to] = [join(aside, path), join(DIST, path)];
    // A folder where a file belongs, or the other way round, was renamed in the sources.
    for (let above = dirname(to); above.startsWith(DIST); above = dirname(above)) {
      if (existsSync(above) && !statSync(above).isDirectory()) rmSync(above);
    }
    if (existsSync(to) && statSync(to).isDirectory()) rmSync(to, { recursive: true });
    if (isSame(from, to)) continue;
    mkdirSync(dirname(to), { recursive: true });
    renameSync(from, to);
  }
  for (const path of filesIn(DIST)) if (!fresh.has(relative(DIST, path))) rmSync(path, { force: true });
  removeEmptyFolders(DIST);
}

function isSame(a, b) {
  const [of, before] = [statSync(a), statSync(b, { throwIfNoEntry: false })];
  return (
    before?.isFile() === true &&
    of.size === before.size &&
    of.mode === before.mode &&
    readFileSync(a).equals(readFileSync(b))
  );
}

function removeEmptyFolders(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(folder, entry.name);
    removeEmptyFolders(path);
    if (readdirSync(path).length === 0) rmdirSync(path);
  }
}

/** In a fixed order, so that the fingerprint does not depend on the file system. */
function filesIn(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await main(async () => {
    await alone(async () => build());
  });
}
