import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { constants as os } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { build, isBuilt } from './build.mjs';
import { outcomeOf } from './outcome.mjs';
import { alone, CACHE, inProject, main, ROOT, SetupProblem, say } from './project.mjs';
import { provideChromium } from './provide-chromium.mjs';
import { provideLibfaketime } from './provide-libfaketime.mjs';
import { provideRedis } from './provide-redis.mjs';

/*
 * Two commands on a fresh clone, `npm start` and `npm test`, need nothing but Node: this provides the rest and says so. What
 * is there already is left alone and costs a tenth of a second. Nothing outside the project folder is changed on Debian and
 * Ubuntu, no service is installed or started, and a Redis that runs is never touched.
 */

const TARGETS = {
  start: { built: true, redis: true },
  test: { built: false, redis: true, dev: true },
  build: { built: true, redis: false },
  packages: { built: false, redis: false, dev: true },
  // For tests that are skipped where it cannot be had.
  browser: { built: false, redis: false, provide: provideChromium },
  clock: { built: false, redis: false, provide: () => provideLibfaketime(findRedis()) },
};

/** What was said to be too old: once is enough. */
const passedOver = new Set();

await main(async () => {
  const name = process.argv[2] ?? '';
  const target = Object.hasOwn(TARGETS, name) ? TARGETS[name] : null;
  if (target === null) {
    process.stderr.write(
      `"${name}" is not a target: scripts/setup start, test, build, packages, browser or clock.\n`,
    );
    process.exitCode = 2;
    return;
  }
  checkNode();

  const steps = [];
  const compiles = target.built && !isBuilt();
  // Who starts what is built already, as a container does, needs no compiler.
  if (target.provide) steps.push({ isDone: () => outcomeOf(name) !== null, take: target.provide });
  else steps.push({ isDone: () => packagesArrived({ dev: target.dev || compiles }), take: installPackages });
  if (target.built) steps.push({ isDone: isBuilt, take: build });
  // With REDIS_URL the server uses that one; the tests never use a server that they did not start.
  const hasRedis = name === 'start' && process.env.REDIS_URL?.trim();
  if (target.redis && !hasRedis)
    steps.push({ isDone: () => findRedis() !== null, take: () => provideRedis(findRedis) });

  if (steps.every((step) => step.isDone())) return;
  await alone(async () => {
    // Looked at anew, one after the other: whoever had the lock before may have done it.
    for (const step of steps) if (!step.isDone()) await step.take();
  });
});

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupProblem(`Node ${process.versions.node} is too old: Warmline needs 20.19 or newer.`);
}

// ---- packages -----------------------------------------------------------------------------------------------------------

/** npm notes in node_modules what it put there; that note and package-lock.json must name the same versions. */
function packagesArrived({ dev }) {
  const wanted = packagesOf(inProject('package-lock.json'));
  const found = packagesOf(inProject('node_modules', '.package-lock.json'));
  if (wanted === null) return found !== null;
  if (found === null) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || entry.link) return true;
    const there = found[path];
    // What is optional is for other machines, and what is for development may have been left out.
    if (there === undefined)
      return entry.optional || entry.devOptional || (entry.dev && !dev) || entry.peer === true;
    return there.version === entry.version && there.integrity === entry.integrity;
  });
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages ?? null;
  } catch {
    return null;
  }
}

async function installPackages() {
  say('Installing the packages (npm ci).');
  const exact = await npm('ci');
  if (exact.status === 0) return;
  if (!exact.stderr.includes('EUSAGE')) throw refused('npm ci', exact.stderr);
  // npm ci wants the lock file to name every package of every platform, and a mirror that lacks some writes a lock file
  // without them. npm install takes the same versions and does not mind.
  say(
    'package-lock.json does not name all packages, so npm ci refuses; installing with npm install, which leaves that file as it is.',
  );
  const lenient = await npm('install', '--no-save');
  if (lenient.status !== 0) throw refused('npm install', lenient.stderr);
}

async function npm(...command) {
  // With npm itself if npm runs us, so that it is the same version.
  const byNpm = /npm-cli\.[cm]?js$/.test(process.env.npm_execpath ?? '');
  const [program, ...first] = byNpm ? [process.execPath, process.env.npm_execpath] : ['npm'];
  const args = [...first, ...command, '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const { child, forget } = spawnToEndWithUs(program, args);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  try {
    const [status] = await once(child, 'close');
    return { status, stderr };
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    throw new SetupProblem('npm is not on the PATH: install it with Node, then run this again.');
  } finally {
    forget();
  }
}

/**
 * npm that is interrupted takes many seconds to undo what it did, and whoever starts again meanwhile meets it in
 * node_modules. So it is in a group of its own, which a Ctrl-C does not reach, and is ended at once: the next npm ci begins
 * with an empty folder anyway.
 */
function spawnToEndWithUs(program, args) {
  let child;
  const stop = (signal) => {
    const leave = () => process.exit(128 + os.signals[signal]);
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) leave();
    child.once('exit', leave);
    process.kill(-child.pid, 'SIGKILL');
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  // Listened for before there is a child, or a signal in between would leave it alone at work.
  for (const signal of signals) process.on(signal, stop);
  child = spawn(program, args, { cwd: ROOT, detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const forget = () => {
    for (const signal of signals) process.off(signal, stop);
  };
  return { child, forget };
}

function refused(command, stderr) {
  process.stderr.write(stderr);
  return new SetupProblem(`${command} failed for the reasons above: put them right, then run this again.`);
}

// ---- Redis --------------------------------------------------------------------------------------------------------------

/** In the same places and the same order as src/runtime/redis-binary.ts, which the program itself asks. */
function findRedis() {
  const wanted = process.env.WARMLINE_REDIS_SERVER?.trim();
  if (wanted) {
    const path = wanted.includes('/') ? [resolve(wanted)].filter(isExecutable)[0] : onPath(wanted)[0];
    if (path === undefined) {
      throw new SetupProblem(
        `WARMLINE_REDIS_SERVER: "${wanted}" is not a program that can be run (example: /usr/bin/redis-server).`,
      );
    }
    const { isNewEnough } = versionOf(path);
    if (isNewEnough) return path;
    throw new SetupProblem(
      `WARMLINE_REDIS_SERVER: "${wanted}" is not Redis 7.0 or newer, nor Valkey 7.2 or newer.`,
    );
  }
  for (const path of [
    ...onPath('redis-server'),
    ...onPath('valkey-server'),
    join(CACHE, 'redis', 'redis-server'),
  ]) {
    if (!isExecutable(path)) continue;
    const { isNewEnough, said } = versionOf(path);
    if (isNewEnough) return path;
    passOver(path, said);
  }
  return null;
}

function versionOf(path) {
  const { stdout, status } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 5_000 });
  const [, name, major, minor] = /(redis|valkey) server v=(\d+)\.(\d+)/i.exec(stdout ?? '') ?? [];
  const least = name?.toLowerCase() === 'valkey' ? 702 : 700;
  return {
    isNewEnough: status === 0 && Number(major) * 100 + Number(minor) >= least,
    said: name === undefined ? 'does not say its version' : `is ${name} ${major}.${minor}`,
  };
}

function passOver(path, said) {
  if (passedOver.has(path)) return;
  passedOver.add(path);
  say(`${path} ${said} and is passed over: Redis 7.0 or Valkey 7.2 is needed.`);
}

function onPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => resolve(folder, name)).filter(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
