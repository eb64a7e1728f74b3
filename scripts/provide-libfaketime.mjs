import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { hasProgram, ownLists, run, unpack } from './debian.mjs';
import { firstLine, keepOutcome } from './outcome.mjs';
import { CACHE, say } from './project.mjs';

/*
 * libfaketime for the tests of the real clock: a library that is loaded before a redis-server and moves its clock. That of
 * the machine if it has one; else Debian's own package (47 KB), downloaded and unpacked into .cache/libfaketime. It is tried
 * once, and what came of it is written into .cache/clock.json.
 */

const HOME = join(CACHE, 'libfaketime');
const ASIDE = join(CACHE, 'libfaketime-new');
const NAME = join('faketime', 'libfaketime.so.1');

/** Fails never: what it cannot do is an outcome too. */
export function provideLibfaketime(redisServer) {
  let outcome;
  try {
    if (redisServer === null) throw new Error('there is no redis-server; run `scripts/setup test` first');
    outcome = find(redisServer) ?? fromDebian(redisServer);
  } catch (error) {
    outcome = { because: `providing libfaketime failed (${error.message})` };
  } finally {
    rmSync(ASIDE, { recursive: true, force: true });
  }
  keepOutcome('clock', outcome);
  if (outcome.because) say(`The tests of the real clock are skipped: ${outcome.because}.`);
}

/** Where the distributions put it. */
function find(redisServer) {
  const paths = ['/usr/lib', '/usr/lib64', '/usr/local/lib'].flatMap(placesBelow);
  const path = paths.find((one) => whyNot(one, redisServer) === null);
  return path === undefined ? null : { path };
}

function fromDebian(redisServer) {
  if (!hasProgram('apt-get') || !hasProgram('dpkg-deb')) {
    return {
      because:
        'this machine has no libfaketime and no apt-get; install it, remove .cache/clock.json and run `scripts/setup clock`',
    };
  }
  say("Downloading Debian's libfaketime for the tests of the real clock into .cache/libfaketime.");
  mkdirSync(ASIDE, { recursive: true });
  let refused = unpackWith([]);
  if (refused) {
    const { options, stderr } = ownLists(ASIDE);
    refused = options ? unpackWith(options) : stderr;
  }
  const found = () => placesBelow(join(ASIDE, 'libfaketime', 'usr', 'lib'))[0];
  const problem = refused ? firstLine(refused) : whyNot(found(), redisServer);
  if (problem) return { because: `Debian's libfaketime could not be provided (${problem})` };
  rmSync(HOME, { recursive: true, force: true });
  renameSync(join(ASIDE, 'libfaketime'), HOME);
  return { path: placesBelow(join(HOME, 'usr', 'lib'))[0] };
}

const unpackWith = (options) =>
  unpack({ aside: ASIDE, root: join(ASIDE, 'libfaketime'), unpacked: new Set(), options }, ['libfaketime']);

/** In the folder itself or in that of an architecture, as `x86_64-linux-gnu`. */
function placesBelow(folder) {
  if (!existsSync(folder)) return [];
  const inside = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const folders = [folder, ...inside.map(({ name }) => join(folder, name))];
  return folders.map((one) => join(one, NAME)).filter(existsSync);
}

/** Null if a redis-server runs under it, else why not; test/support/faked-clock.ts loads it in the same way. */
function whyNot(path, redisServer) {
  if (path === undefined) return 'the package holds no libfaketime.so.1';
  const env = { ...process.env, LD_PRELOAD: `${path} libc.so.6`, FAKETIME: '+400d' };
  const { status, stdout } = run('date', ['+%s'], { env, timeout: 10_000 });
  if (!(status === 0 && Number(stdout) > Date.now() / 1000 + 399 * 86_400)) return 'it moves no clock';
  const redis = run(redisServer, ['--version'], { env, timeout: 10_000 });
  return redis.status === 0 ? null : `${redisServer} does not run under it: ${firstLine(redis.stderr)}`;
}
