import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { apt, hasProgram, libraryFolders, ownLists, provideLibraries, run, unpack } from './debian.mjs';
import { CACHE, SetupProblem, say } from './project.mjs';

/*
 * A redis-server for a machine that has none. On Debian and Ubuntu the distribution's own packages are downloaded and
 * unpacked into .cache/redis, with the libraries that the machine lacks: that needs no root, installs nothing and starts
 * no service. Elsewhere the package manager installs it, and where that would need more rights, the line to run is printed.
 */

const HOME = join(CACHE, 'redis');
const ASIDE = join(CACHE, 'redis-new');
const NEEDED = 'Warmline needs redis-server 7.0 or newer, or valkey-server 7.2 or newer';

/** `find` looks for a server and is asked again afterwards. */
export async function provideRedis(find) {
  if (hasProgram('apt-get') && hasProgram('dpkg-deb')) await fromDebian();
  else if (hasProgram('brew')) fromBrew();
  else if (hasProgram('apk')) fromApk();
  else throw new SetupProblem(`${NEEDED}, and finds none: ${lineToRun()}`);
  if (find() === null)
    throw new SetupProblem(`${NEEDED}, and what was provided does not run: ${lineToRun()}`);
}

function lineToRun() {
  const lines = {
    dnf: 'sudo dnf install valkey',
    pacman: 'sudo pacman -S valkey',
    zypper: 'sudo zypper install redis',
  };
  const known = Object.keys(lines).find(hasProgram);
  return known === undefined ? BY_HAND : `run \`${lines[known]}\`.`;
}

const INSTALL_BY_HAND = 'put them right, or run `sudo apt-get update && sudo apt-get install redis-server`.';
const BY_HAND = 'install one and put it on the PATH, or name it in WARMLINE_REDIS_SERVER.';

// ---- Debian, Ubuntu -----------------------------------------------------------------------------------------------------

async function fromDebian() {
  rmSync(ASIDE, { recursive: true, force: true });
  try {
    // First with the package lists of the machine. They are missing in many images, and old ones name packages that are no
    // longer offered; then with lists of our own, fetched into the folder that is removed below.
    const problem = downloadAndUnpack([]) && downloadAndUnpack(withOwnLists());
    if (problem) throw new SetupProblem(problem);
    await checkItRuns(join(ASIDE, 'redis', 'redis-server'));
    rmSync(HOME, { recursive: true, force: true });
    renameSync(join(ASIDE, 'redis'), HOME);
    say('Redis is in .cache/redis; nothing was installed.');
  } finally {
    rmSync(ASIDE, { recursive: true, force: true });
  }
}

function withOwnLists() {
  const { options, stderr } = ownLists(ASIDE);
  if (options) return options;
  process.stderr.write(stderr);
  throw new SetupProblem(`${NEEDED}, and apt-get update failed for the reasons above: ${INSTALL_BY_HAND}`);
}

/** Null if all went well, else what did not, in a sentence. */
function downloadAndUnpack(options) {
  const server = ['redis-server', 'valkey-server'].find((name) => offersNewEnough(name, options));
  if (server === undefined) {
    return `${NEEDED}, and this release offers none: ${BY_HAND}`;
  }
  say(`Downloading ${server} (apt-get download) into .cache/redis.`);
  const home = join(ASIDE, 'redis');
  const root = join(home, 'root');
  const tools = server.replace('-server', '-tools');
  const byHand = `run \`sudo apt-get install ${server}\`, or ${BY_HAND}`;
  const place = { aside: ASIDE, root, unpacked: new Set(), options };
  const refused = unpack(place, [server, tools]);
  if (refused) return `${refused}The download of ${server} failed: ${byHand}`;
  const binary = join(root, 'usr', 'bin', server);
  const { missing, problem } = provideLibraries(place, binary);
  if (problem)
    return `${problem}${server} needs ${missing.join(', ')}, which could not be provided: ${byHand}`;
  writeWrapper(home, binary, root);
  return null;
}

/** "Version: 5:7.0.15-1~deb12u10": an epoch, then upstream's own. */
function offersNewEnough(name, options) {
  const shown = apt('apt-cache', [...options, 'show', '--no-all-versions', name]).stdout;
  const [, major, minor] = /^Version: (?:\d+:)?(\d+)\.(\d+)/m.exec(shown) ?? [];
  return Number(major) * 100 + Number(minor) >= (name === 'valkey-server' ? 702 : 700);
}

/** Finds its libraries beside itself, so that the project folder can be moved. */
function writeWrapper(home, binary, root) {
  const folders = libraryFolders(root).map((folder) => `$here/${relative(home, folder)}`);
  const path = join(home, 'redis-server');
  const lines = [
    '#!/bin/sh',
    '# Written by scripts/setup: the redis-server unpacked here, with the libraries that this machine does not have.',
    'here=$(dirname -- "$0")',
    ...(folders.length > 0 ? [`export LD_LIBRARY_PATH="${folders.join(':')}"`] : []),
    `exec "$here/${relative(home, binary)}" "$@"`,
    '',
  ];
  writeFileSync(path, lines.join('\n'), { mode: 0o755 });
}

/** Speaks to it once through a socket of its own: the libraries of its Lua are loaded late, and our scripts need them. */
async function checkItRuns(path) {
  const folder = mkdtempSync(join(tmpdir(), 'warmline-setup-'));
  const socketPath = join(folder, 'redis.sock');
  const args = [
    '--port',
    '0',
    '--unixsocket',
    socketPath,
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    folder,
  ];
  const server = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (text) => (said += text));
  const ended = once(server, 'close').catch(() => {});
  try {
    for (let waited = 0; !existsSync(socketPath) && server.exitCode === null && waited < 10_000; waited += 20)
      await sleep(20);
    const answer = await ask(
      socketPath,
      `EVAL "return cjson.encode({bit.band(7, 3)}) .. #cmsgpack.pack(1) .. struct.size('i4')" 0`,
    );
    if (answer !== '[3]14')
      throw new SetupProblem(
        `The Redis in ${dirname(path)} does not run our scripts: it answers "${answer}".`,
      );
  } catch (error) {
    if (error instanceof SetupProblem) throw error;
    throw new SetupProblem(`The unpacked Redis does not run (${error.message}): ${BY_HAND}\n${said}`);
  } finally {
    server.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One command, one answer in two lines: its length, then the text. */
async function ask(socketPath, command) {
  const socket = connect(socketPath).setEncoding('utf8').setTimeout(5_000);
  try {
    await once(socket, 'connect');
    socket.write(`${command}\r\n`);
    socket.once('timeout', () => socket.destroy(new Error('no answer within 5 s')));
    const [answer] = await once(socket, 'data');
    return answer.startsWith('$') ? answer.split('\r\n')[1] : answer.trim();
  } finally {
    socket.destroy();
  }
}

// ---- others -------------------------------------------------------------------------------------------------------------

function fromBrew() {
  const line = 'brew install redis';
  runAloud(line);
  // Homebrew's own folder may not be on the PATH of whoever starts us.
  const path = join(run('brew', ['--prefix']).stdout.trim(), 'bin', 'redis-server');
  if (!existsSync(path)) return;
  mkdirSync(HOME, { recursive: true });
  writeFileSync(join(HOME, 'redis-server'), `#!/bin/sh\nexec "${path}" "$@"\n`, { mode: 0o755 });
}

function fromApk() {
  const isRoot = process.getuid?.() === 0;
  if (!isRoot) throw new SetupProblem(`${NEEDED}, and finds none: run \`sudo apk add redis\`.`);
  runAloud('apk add --no-cache redis');
}

function runAloud(line) {
  say(`Running: ${line}`);
  const [program, ...args] = line.split(' ');
  const { status } = spawnSync(program, args, { stdio: ['ignore', process.stderr, 'inherit'] });
  if (status !== 0) throw new SetupProblem(`\`${line}\` failed for the reasons above: ${BY_HAND}`);
}
