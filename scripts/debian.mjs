import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, say } from './project.mjs';

/*
 * Programs of Debian and Ubuntu without root: the distribution's own packages, downloaded and unpacked below the project
 * folder, with the libraries that the machine lacks.
 */

/** Lists and cache below our own folder, so that apt needs no root; that is why root does not touch the machine's either. */
export function ownLists(aside) {
  const [lists, cache] = [join(aside, 'apt', 'lists'), join(aside, 'apt', 'cache')];
  mkdirSync(join(lists, 'partial'), { recursive: true });
  mkdirSync(join(cache, 'archives', 'partial'), { recursive: true });
  const options = ['-o', `Dir::State::lists=${lists}`, '-o', `Dir::Cache=${cache}`];
  say('Fetching the package lists (apt-get update, into .cache).');
  const { status, stderr } = apt('apt-get', [...options, 'update']);
  return status === 0 ? { options } : { stderr };
}

/**
 * Where packages go: `root` is their file tree, `aside` a folder for what is in the way of it, `unpacked` their names so far,
 * `options` those of apt.
 *
 * @returns null if all went well, else what apt or dpkg said
 */
export function unpack({ aside, root, unpacked, options }, names) {
  const debs = join(aside, 'debs');
  rmSync(debs, { recursive: true, force: true });
  mkdirSync(debs, { recursive: true });
  mkdirSync(root, { recursive: true });
  const download = apt('apt-get', [...options, 'download', ...names], debs);
  if (download.status !== 0) return download.stderr || 'apt-get download failed.\n';
  for (const name of names) unpacked.add(name);
  for (const file of readdirSync(debs)) {
    const { status, stderr } = run('dpkg-deb', ['-x', join(debs, file), root]);
    if (status !== 0) return stderr || `dpkg-deb -x ${file} failed.\n`;
  }
  rmSync(debs, { recursive: true, force: true });
  return null;
}

/** Brings what the program is linked with. Each round may bring libraries that need others in turn. */
export function provideLibraries(place, binary) {
  for (let round = 0; ; round++) {
    const missing = missingLibraries(binary, place.root);
    if (missing.length === 0) return { missing, problem: null };
    // The longest chain today (systemd's) has three links.
    const wanted = round < 8 ? packagesFor(missing, place) : [];
    const problem = wanted.length === 0 ? 'No package fits.\n' : unpack(place, wanted);
    if (problem) return { missing, problem };
  }
}

function missingLibraries(binary, root) {
  const env = { ...process.env, LD_LIBRARY_PATH: libraryFolders(root).join(':') };
  const { stdout } = run('ldd', [binary], { env });
  return [...new Set([...stdout.matchAll(/^\s*(\S+) => not found/gm)].map(([, soname]) => soname))];
}

/**
 * Debian names a package after its library: libjemalloc.so.2 is in libjemalloc2, liblua5.1-cjson.so.0 in lua-cjson. Only
 * what the unpacked packages depend on is considered; if no name fits, all of their libraries are.
 */
function packagesFor(missing, { unpacked, options }) {
  const { stdout } = apt('apt-cache', [...options, 'depends', ...unpacked]);
  const needed = [...stdout.matchAll(/^\s*\|?(?:Pre)?Depends: ((?:lib|lua)\S*)/gm)].map(([, name]) => name);
  const candidates = [...new Set(needed)].filter((name) => !unpacked.has(name) && name !== 'libc6');
  const stems = missing.map((soname) => soname.replace(/\.so.*$/, ''));
  const fits = (name) =>
    stems.some((stem) => name.startsWith(stem) || (name.startsWith('lua-') && stem.endsWith(name.slice(3))));
  const fitting = candidates.filter(fits);
  return fitting.length > 0 ? fitting : candidates;
}

export function libraryFolders(root) {
  const entries = readdirSync(root, { withFileTypes: true, recursive: true });
  const libraries = entries.filter((entry) => /\.so(\.|$)/.test(entry.name));
  return [...new Set(libraries.map((entry) => entry.parentPath ?? entry.path))];
}

/** In English, as its answers are read; as root without apt's own user, who cannot write into our folder. */
export function apt(program, args, cwd = CACHE) {
  const env = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  return run(program, ['-q', '-o', 'APT::Sandbox::User=root', ...args], { cwd, env });
}

export const run = (program, args, options = {}) => {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', ...options });
  return { status, stdout: stdout ?? '', stderr: stderr ?? '' };
};

export function hasProgram(name) {
  return (process.env.PATH ?? '')
    .split(':')
    .some((folder) => folder !== '' && existsSync(join(folder, name)));
}
