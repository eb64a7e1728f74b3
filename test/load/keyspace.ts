/**
 * Which keys there are, by the pattern that made them. The patterns are those of src/redis/keys.ts itself: a key that
 * none of them makes is one that nobody would ever clean up.
 */
import type { Redis } from 'ioredis';
import {
  accountKeys,
  clockKeys,
  directoryKeys,
  inventoryKeys,
  QUEUE_PREFIX,
  RATE_LIMIT_PREFIX,
  sessionKey,
  WEBHOOK_QUEUE_PREFIX,
  webhookKeys,
} from '../../src/redis/keys.ts';

const ANY = '*';
const ACCOUNT = 'acct_*';

/** Every key of a file of keys, with `*` for what it is told. */
function patternsOf(keys: object): string[] {
  return Object.values(keys).map((key) => (typeof key === 'function' ? key(ANY, ANY) : key) as string);
}

/** Those that stand for anything after their prefix are asked last. The prefix of an account is no key. */
const PATTERNS = [
  ...patternsOf(accountKeys({ id: ACCOUNT, parentId: null })),
  ...[inventoryKeys, directoryKeys, clockKeys, webhookKeys].flatMap(patternsOf),
  sessionKey(ANY),
  ...[QUEUE_PREFIX, WEBHOOK_QUEUE_PREFIX, RATE_LIMIT_PREFIX].map((prefix) => `${prefix}:${ANY}`),
]
  .filter((pattern) => !pattern.endsWith(':'))
  .map((pattern) => ({
    pattern,
    matches: new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`),
  }));
const UNEXPECTED = 'unexpected';

export const patternOf = (key: string): string =>
  PATTERNS.find(({ matches }) => matches.test(key))?.pattern ?? UNEXPECTED;

export type Keyspace = {
  /** How many keys there are of each pattern, and what they take of memory where that was asked for. */
  keys: Record<string, number>;
  bytes: Record<string, number> | null;
  /** A few keys that no pattern makes. */
  unexpected: string[];
};

const AT_ONCE = 500;
const MOST_NAMED = 5;

/** @param weigh also ask what each key takes of memory: some 10 us of Redis for each */
export async function lookAtKeys(redis: Redis, weigh: boolean): Promise<Keyspace> {
  const keys: Record<string, number> = {};
  const bytes: Record<string, number> = {};
  const unexpected: string[] = [];
  const seen = new Set<string>();
  let cursor = '0';
  do {
    const [next, found] = await redis.scan(cursor, 'COUNT', AT_ONCE);
    cursor = next;
    // A scan may name a key twice.
    const fresh = found.filter((key) => !seen.has(key));
    const pipeline = redis.pipeline();
    for (const key of fresh) {
      seen.add(key);
      const pattern = patternOf(key);
      keys[pattern] = (keys[pattern] ?? 0) + 1;
      if (pattern === UNEXPECTED && unexpected.length < MOST_NAMED) unexpected.push(key);
      if (weigh) pipeline.call('MEMORY', 'USAGE', key, 'SAMPLES', '0');
    }
    if (!weigh || fresh.length === 0) continue;
    for (const [index, [, weight]] of ((await pipeline.exec()) ?? []).entries()) {
      const pattern = patternOf(fresh[index]!);
      bytes[pattern] = (bytes[pattern] ?? 0) + Number(weight ?? 0);
    }
  } while (cursor !== '0');
  return { keys, bytes: weigh ? bytes : null, unexpected };
}
