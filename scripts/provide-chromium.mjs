import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, relative, resolve } from 'node:path';
import { apt, hasProgram, libraryFolders, ownLists, provideLibraries, run, unpack } from './debian.mjs';
import { firstLine, keepOutcome } from './outcome.mjs';
import { CACHE, say } from './project.mjs';

/*
 * A browser for the tests of the dashboard. Chromium of the machine if it has one; else Debian's own package, downloaded and
 * unpacked into .cache/chromium with the libraries that the machine lacks. It is tried once, and what came of it is written
 * into .cache/browser.json: a machine that can have none runs all other tests, and these say why they do not.
 */

const HOME = join(CACHE, 'chromium');
const ASIDE = join(CACHE, 'chromium-new');

/** Fails never: what it cannot do is an outcome too. */
export function provideChromium() {
  mkdirSync(CACHE, { recursive: true });
  let outcome;
  try {
    outcome = find() ?? fromDebian();
  } catch (error) {
    outcome = { because: `providing Chromium failed (${error.message})` };
  } finally {
    rmSync(ASIDE, { recursive: true, force: true });
  }
  keepOutcome('browser', outcome);
  if (outcome.because) say(`The tests in a browser are skipped: ${outcome.because}.`);
}

/** `WARMLINE_CHROMIUM` names one; else one on the PATH. A name may stand for a snap that cannot run, so it is tried. */
function find() {
  const wanted = process.env.WARMLINE_CHROMIUM?.trim();
  const names = wanted ? [wanted] : ['chromium', 'google-chrome', 'chromium-browser'];
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const paths = names.flatMap((name) =>
    name.includes('/') ? [resolve(name)] : folders.map((folder) => resolve(folder, name)),
  );
  const path = paths.filter(isExecutable).find((one) => whyNot(one) === null);
  if (path) return { path };
  return wanted ? { because: `WARMLINE_CHROMIUM is "${wanted}", which does not run` } : null;
}

function fromDebian() {
  if (!hasProgram('apt-get') || !hasProgram('dpkg-deb')) {
    return {
      because:
        'this machine has no Chromium and no apt-get; install one, or name it in WARMLINE_CHROMIUM, remove .cache/browser.json and run `scripts/setup browser`',
    };
  }
  rmSync(ASIDE, { recursive: true, force: true });
  let problem = downloadAndUnpack([]);
  if (problem) {
    const { options, stderr } = ownLists(ASIDE);
    problem = options ? downloadAndUnpack(options) : `apt-get update failed: ${firstLine(stderr)}`;
  }
  problem ??= whyNot(join(ASIDE, 'chromium', 'chromium'));
  if (problem) return { because: `Debian's Chromium could not be provided (${problem})` };
  rmSync(HOME, { recursive: true, force: true });
  renameSync(join(ASIDE, 'chromium'), HOME);
  say('Chromium is in .cache/chromium; nothing was installed.');
  return { path: join(HOME, 'chromium') };
}

/** Null if all went well, else what did not. */
function downloadAndUnpack(options) {
  // On Ubuntu the package is a pointer to a snap, a few kilobytes long.
  const shown = apt('apt-cache', [...options, 'show', '--no-all-versions', 'chromium']).stdout;
  const [, bytes] = /^Size: (\d+)/m.exec(shown) ?? [];
  if (!(Number(bytes) > 10_000_000)) return 'this release offers no package chromium';
  say(
    "Downloading Debian's Chromium for the tests of the dashboard (about 120 MB, once) into .cache/chromium.",
  );
  const home = join(ASIDE, 'chromium');
  const root = join(home, 'root');
  rmSync(home, { recursive: true, force: true });
  const place = { aside: ASIDE, root, unpacked: new Set(), options };
  const hasFonts = existsSync('/etc/fonts/fonts.conf');
  const refused = unpack(place, ['chromium', 'chromium-common', ...(hasFonts ? [] : ['fonts-dejavu-core'])]);
  if (refused) return firstLine(refused);
  const binary = join(root, 'usr', 'lib', 'chromium', 'chromium');
  const { missing, problem } = provideLibraries(place, binary);
  if (problem) return `${missing.join(', ')} is missing: ${firstLine(problem)}`;
  writeWrapper(home, root, binary, hasFonts);
  return null;
}

/** Finds its libraries beside itself, so that the project folder can be moved. */
function writeWrapper(home, root, binary, hasFonts) {
  const folders = libraryFolders(root)
    .filter((folder) => !folder.startsWith(join(root, 'usr', 'lib', 'chromium')))
    .map((folder) => `$here/${relative(home, folder)}`);
  const lines = [
    '#!/bin/sh',
    '# Written by scripts/setup: the Chromium unpacked here, with the libraries that this machine does not have.',
    'here=$(dirname -- "$0")',
    ...(folders.length > 0 ? [`export LD_LIBRARY_PATH="${folders.join(':')}"`] : []),
    ...(hasFonts ? [] : ['export FONTCONFIG_FILE="$here/fonts.conf"']),
    `exec "$here/${relative(home, binary)}" "$@"`,
    '',
  ];
  writeFileSync(join(home, 'chromium'), lines.join('\n'), { mode: 0o755 });
  if (hasFonts) return;
  const fonts = join(HOME, 'root', 'usr', 'share', 'fonts');
  writeFileSync(
    join(home, 'fonts.conf'),
    `<?xml version="1.0"?>\n<fontconfig><dir>${fonts}</dir><cachedir>${join(HOME, 'fonts')}</cachedir></fontconfig>\n`,
  );
}

/** Null if it opens a page, else why it does not. */
function whyNot(path) {
  const args = ['--headless', '--no-sandbox', '--disable-gpu', '--dump-dom', 'data:text/html,<p>ready'];
  const { status, stdout, stderr } = run(path, args, { timeout: 60_000 });
  if (stdout.includes('<p>ready')) return null;
  return `it does not open a page: ${firstLine(stderr) || `it ended with ${status}`}`;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
