/**
 * The Lua files beside this one, with their includes put in, called by hash. A script that Redis has lost (a restart, a
 * failover) is sent again; it did not run then, so nothing is counted twice.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Cluster } from 'ioredis';
import { createAwake } from './awake.ts';
import type { RedisConnection } from './connect.ts';
import { neverIn } from './keys.ts';
import { replicated } from './replicated.ts';

export type ScriptName = keyof typeof KEY_COUNTS;

/** How many KEYS each script has; the rest is ARGV. */
const KEY_COUNTS = {
  now: 1,
  'take-ip': 1,
  'take-pool': 1,
  'take-many': 1,
  lease: 1,
  explain: 1,
  'set-right': 1,
  refund: 1,
  wake: 1,
  read: 3,
  demand: 1,
  'page-after': 1,
  transact: 1,
  'move-clock': 1,
  'inventory-add': 4,
  'inventory-reserve': 6,
  'inventory-close': 6,
  'inventory-give-back': 3,
  'inventory-claim': 2,
  'account-create': 4,
  'account-restore': 4,
  'key-create': 6,
  'key-revoke': 5,
  'request-begin': 1,
  'request-end': 1,
  'webhook-put': 1,
  'webhook-advance': 1,
} as const;

/** What these do depends on what was granted: they run only where Redis has been asked whether it forgot any. */
const COUNTS: ReadonlySet<ScriptName> = new Set([
  'take-ip',
  'take-pool',
  'take-many',
  'lease',
  'explain',
  'refund',
  'transact',
]);

/** What these have done is told to somebody, or another slot relies on it: not done before a replica has it. */
const KEPT: ReadonlySet<ScriptName> = new Set([
  'transact',
  'inventory-add',
  'inventory-reserve',
  'inventory-close',
  'inventory-give-back',
  'inventory-claim',
  'account-create',
  'account-restore',
  'key-create',
  'key-revoke',
  'webhook-put',
]);

export type Scripts = {
  readonly redis: RedisConnection;
  /** Then every account may be in another Redis. */
  readonly isCluster: boolean;
  readonly testClock: boolean;
  run(name: ScriptName, args: readonly (string | number | Buffer)[]): Promise<unknown>;
  /** As `run`, with strings as buffers: packed records are no text. */
  runBuffer(name: ScriptName, args: readonly (string | number | Buffer)[]): Promise<unknown>;
  /** A script whose reply is one packed string, or nothing. @param keyCount of a script with any number of keys */
  runPacked(name: ScriptName, args: readonly (string | number)[], keyCount?: number): Promise<Buffer | null>;
};

/** `testClock` puts a stored time in the place of Redis `TIME`: another text, so the ordinary one pays nothing for it. */
export function createScripts(
  redis: RedisConnection,
  { testClock = false }: { testClock?: boolean } = {},
): Scripts {
  const isCluster = redis instanceof Cluster;
  const loaded = new Map<ScriptName, { sha: string; lua: string }>();

  const load = (name: ScriptName) => {
    let script = loaded.get(name);
    if (!script) {
      const lua = source(name, testClock);
      script = { lua, sha: createHash('sha1').update(lua).digest('hex') };
      loaded.set(name, script);
    }
    return script;
  };

  const awake = createAwake(redis, (prefix, durable) => {
    const { sha, lua } = load('wake');
    const args = withNever([`${prefix}account`, prefix, durable, testClock ? 1 : 0], 1);
    return (node, how) => node.call(how, how === 'EVALSHA' ? sha : lua, ...args);
  });

  // While a slot moves from one node to another, a script would find some of its keys and miss others, in its middle. With
  // a key beside them that never exists, the cluster says TRYAGAIN before it begins, until the slot has arrived.
  const withNever = (args: readonly (string | number | Buffer)[], keys: number) =>
    isCluster
      ? [keys + 1, ...args.slice(0, keys), neverIn(String(args[0])), ...args.slice(keys)]
      : [keys, ...args];

  function call(
    method: 'call' | 'callBuffer',
    name: ScriptName,
    args: readonly (string | number | Buffer)[],
    keys: number = KEY_COUNTS[name],
  ): Promise<unknown> {
    const { sha, lua } = load(name);
    const rest = withNever(args, keys);
    const run = (on: RedisConnection, how: 'EVALSHA' | 'EVAL') =>
      on[method](how, how === 'EVALSHA' ? sha : lua, ...rest);
    if (COUNTS.has(name)) return awake.send(prefixOf(String(args[0])), run);
    return run(redis, 'EVALSHA').catch((error) => {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return run(redis, 'EVAL');
    });
  }

  return {
    redis,
    isCluster,
    testClock,
    async run(name, args) {
      const reply = await call('call', name, args);
      if (isCluster && KEPT.has(name)) await replicated(redis, String(args[0]));
      return reply;
    },
    runBuffer: (name, args) => call('callBuffer', name, args),
    runPacked: (name, args, keyCount) => call('callBuffer', name, args, keyCount) as Promise<Buffer | null>,
  };
}

/** Of the account whose key this is: that of a hot record, or of the account itself. */
function prefixOf(key: string): string {
  const hotAt = key.indexOf(':hot:');
  return hotAt < 0 ? key.slice(0, -'account'.length) : key.slice(0, hotAt + 1);
}

/** Engine time in milliseconds, where this key lives: in a cluster every master has a clock of its own. */
export const engineNow = async (scripts: Scripts, key: string) => Number(await scripts.run('now', [key]));

function source(name: string, testClock: boolean): string {
  if (name === 'now') return `${file(testClock ? 'now-test-clock' : 'now')}return engine_now()\n`;
  return file(name).replace(/^--- @include "([a-z-]+)"$/gm, (_, included: string) =>
    file(included === 'now' && testClock ? 'now-test-clock' : included),
  );
}

const file = (name: string) => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
