/** `warmline check`: looks at a deployment and says what to do. It asks Redis itself, and writes nothing. */
import type { Command } from 'commander';
import { type Finding, failure, ok, warning } from '../fleet/checkup/finding.ts';
import { judgeFleet, readFleet } from '../fleet/checkup/fleet.ts';
import { examineInventory, examineSurroundings } from '../fleet/checkup/inventory.ts';
import { judgeCluster, judgeServer, readCluster, readServers } from '../fleet/checkup/server.ts';
import { type QueueState, readQueues } from '../queue/state.ts';
import type { RedisConnection } from '../redis/connect.ts';
import { redisIsOut } from '../redis/out.ts';
import { WarmlineError } from '../warmup/errors.ts';
import { wholeNumber } from './client.ts';
import { type Installation, openInstallation } from './installation.ts';
import { asTable, type Colour, coloured, counted, grouped, lasting, plain, say, sayJson } from './table.ts';
import { whileWaiting } from './waiting.ts';

type Options = { json?: boolean; sample?: number };

const EXAMPLES = `
Examples:
  $ warmline check                                                   what runs in this folder
  $ REDIS_URL=redis://:secret@10.0.0.5:6379 warmline check
  $ warmline check --json | jq '.findings[] | select(.level != "ok")'
  $ warmline check --sample 1000                                     so many IPs of each account, instead of all

It asks Redis and no API, so it needs REDIS_URL (or the folder of "warmline serve") and no key. It ends with 0 when nothing
has failed (warnings do not count), with 1 when something has, with 2 when it was called wrongly.`;

export function register(command: Command): void {
  command
    .option('--json', 'the findings, for programs')
    .option('--sample <ips>', 'look at so many IPs of each account (default: all)', wholeNumber)
    .addHelpText('after', EXAMPLES)
    .action(check);
}

async function check({ json = false, sample }: Options): Promise<void> {
  let seen = 0;
  const findings = await whileWaiting(
    () => `examining, ${grouped(seen)} IPs so far`,
    examineAll(sample, (count) => {
      seen = count;
    }),
  );
  const count = (level: Finding['level']) => findings.filter((finding) => finding.level === level).length;
  const [failures, warnings] = [count('failure'), count('warning')];
  if (failures > 0) process.exitCode = 1;
  if (json) return sayJson({ failures, warnings, findings });
  print(findings);
  say(`\n${counted(failures, 'failure')}, ${counted(warnings, 'warning')}`);
}

async function examineAll(
  sample: number | undefined,
  onProgress: (seen: number) => void,
): Promise<Finding[]> {
  let here: Installation;
  try {
    here = await openInstallation();
  } catch (error) {
    if (!(error instanceof WarmlineError)) return [whatEnded(error)];
    if (error.code === 'invalid') throw error;
    return [failure('redis', error.message, 'nothing is granted without it: start it, or correct REDIS_URL')];
  }
  try {
    return await examine(here, sample, onProgress);
  } catch (error) {
    return [whatEnded(error, here.redis)];
  } finally {
    here.close();
  }
}

/** To a command, or to one inside a script. */
const NOT_ALLOWED = /^NOPERM\b|The user executing the script can't/;

/**
 * What ended the examination. To look again helps only where Redis was out.
 * @throws the error itself where it is no matter of Redis
 */
export function whatEnded(error: unknown, redis?: RedisConnection): Finding {
  const { name, message } = error as Error;
  if (NOT_ALLOWED.test(message)) {
    const found = `the user in REDIS_URL may not read all that is examined (${message})`;
    return failure('redis', found, 'name one that may, such as "warmline" in docs/security.md');
  }
  if (/^WRONGTYPE\b/.test(message)) {
    const found = `${keyOf(error)} is not of the type that it should be (${message})`;
    return failure('redis', found, 'find out what wrote there, and restore a backup');
  }
  if (redisIsOut(error, redis)) {
    const found = `it ended the examination (${message})`;
    return failure('redis', found, 'look at its log and at the network, and call this again');
  }
  if (name !== 'ReplyError') throw error;
  return failure('redis', `it refused a command (${message})`, REPORT);
}

const REPORT = 'look at its log; if that does not say why, report it with this line';

/** ioredis hangs the command on its error; the first argument is the key, but of a script. */
function keyOf(error: unknown): string {
  const { name = 'eval', args = [] } =
    (error as { command?: { name?: string; args?: unknown[] } }).command ?? {};
  return /^eval/i.test(name) || args[0] === undefined ? 'a key' : String(args[0]);
}

/** All that is to be found out about one installation. */
export async function examine(
  here: Installation,
  sample?: number,
  onProgress: (seen: number) => void = () => {},
  realNowMs: number = Date.now(),
): Promise<Finding[]> {
  const { redis, engine, redisUrl } = here;
  const [servers, cluster] = await Promise.all([readServers(redis), readCluster(redis)]);
  const several = servers.length > 1;
  const findings = [
    ...servers
      .flatMap(judgeServer)
      .map(({ at, ...finding }) => (several ? { ...finding, at: at! } : finding)),
    ...(cluster ? [judgeCluster(cluster)] : []),
    judgeDatabase(here.clock),
  ];
  if (here.clock === null) return findings;
  return [
    ...findings,
    ...judgeFleet(await readFleet(engine, { ...(sample ? { most: sample } : {}), onProgress }), lasting),
    ...(await examineInventory(engine, sample || undefined)),
    ...(await examineSurroundings(engine, realNowMs)),
    ...judgeQueues(await readQueues(redisUrl, redis), realNowMs),
  ];
}

function judgeDatabase(clock: Installation['clock']): Finding {
  if (clock === null)
    return failure(
      'database',
      'empty',
      'start warmline on it, or name the right one in REDIS_URL; if it was not empty before, restore a backup',
    );
  return clock === 'real'
    ? ok('database', 'on the real clock')
    : warning(
        'database',
        'on a test clock: its quotas say nothing about real mail',
        'send no real mail with it',
      );
}

/** Ticks come every two seconds. */
const LATE_TICK_MS = 60_000;
/** The sweep has a tick and eight shares at most; deliveries come back with their back-off. */
const MOST_WAITING = { sweep: 100, deliveries: 1_000 } as const;

function judgeQueues(queues: readonly QueueState[], nowMs: number): Finding[] {
  return queues.flatMap(({ name, counts, lastDoneMs }) => {
    const isSweep = name === 'sweep';
    const check = isSweep ? 'queue of the worker' : 'queue of webhooks';
    const waiting = (counts.waiting ?? 0) + (counts.prioritized ?? 0);
    const found = `${waiting} waiting, ${counts.failed ?? 0} failed`;
    const depth =
      waiting > (isSweep ? MOST_WAITING.sweep : MOST_WAITING.deliveries)
        ? warning(check, found, 'start more workers, or look at the log of those that run')
        : ok(check, found);
    return isSweep ? [judgeTick(lastDoneMs, nowMs), depth] : [depth];
  });
}

function judgeTick(lastDoneMs: number | null, nowMs: number): Finding {
  const todo = 'start one: warmline worker';
  if (lastDoneMs === null) return failure('worker', 'none has ever looked here', todo);
  const agoMs = Math.max(0, nowMs - lastDoneMs);
  return agoMs > LATE_TICK_MS
    ? failure('worker', `the last look was ${lasting(agoMs)} ago`, todo)
    : ok('worker', `looked ${lasting(Math.max(1_000, agoMs))} ago`);
}

const COLOURS: Record<Finding['level'], Colour> = { ok: 'green', warning: 'yellow', failure: 'red' };

function print(findings: readonly Finding[]): void {
  say(
    asTable<Finding>(
      [
        { head: '', cell: ({ level }) => coloured(COLOURS[level], level) },
        { head: 'what', cell: ({ check, at }) => (at ? `${check} (${at})` : check) },
        { head: 'found', cell: ({ found, todo }) => plain(todo ? `${found}; ${todo}` : found) },
      ],
      findings,
    ),
  );
}
