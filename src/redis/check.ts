/** Does this Redis keep what it is told? Asked at every start, answered in sentences; in a cluster of every master. */
import type { Redis } from 'ioredis';
import { mastersOf, type RedisConnection } from './connect.ts';

/** Redis 7.0 brought the script and append-only behaviour that is relied on; Valkey 7.2 is its first release. */
const OLDEST = { redis: [7, 0], valkey: [7, 2] } as const;

/** What is wrong with the settings of a server: `fatal` must stop the start, `warnings` must be read. */
export type ServerCheck = { fatal: string[]; warnings: string[]; version: string };

export async function checkServer(redis: RedisConnection): Promise<ServerCheck> {
  const masters = mastersOf(redis);
  const [first, ...others] = await Promise.all(masters.map(checkOne));
  if (others.length === 0) return first!;

  const named = (what: 'fatal' | 'warnings') =>
    [first!, ...others].flatMap((check, index) => {
      const { host, port } = masters[index]!.options;
      return check[what].map((sentence) => `${host}:${port}: ${sentence}`);
    });
  const versions = new Set([first!, ...others].map(({ version }) => version));
  return {
    fatal: named('fatal'),
    warnings: named('warnings'),
    version: `cluster of ${[...versions].join(', ')}`,
  };
}

async function checkOne(redis: Redis): Promise<ServerCheck> {
  const info = Object.fromEntries(
    (await redis.info())
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
  const kind = info.valkey_version ? 'valkey' : 'redis';
  const version = info.valkey_version ?? info.redis_version ?? '0.0';
  const fatal: string[] = [];
  const warnings: string[] = [];

  if (oldVersion(info)) {
    fatal.push(`${kind} ${version} is too old; Warmline needs Redis 7.0 or Valkey 7.2, or newer`);
  }
  if (info.role === 'slave') {
    fatal.push('this Redis is a replica and takes no writes; point REDIS_URL at its master');
  }
  const policy = info.maxmemory_policy;
  if (policy !== 'noeviction') {
    fatal.push(`maxmemory-policy is ${policy}, so a full Redis would forget quotas; set it to noeviction`);
  }
  if (info.aof_enabled !== '1') {
    warnings.push(
      'the append-only file is off, so a restart of Redis forgets what was sent; set appendonly yes',
    );
  }
  if (info.cluster_enabled === '1' && info.connected_slaves === '0') {
    warnings.push('it has no replica, so its accounts stop while it is away; give it one');
  }
  return { fatal, warnings, version: `${kind} ${version}` };
}

/** Is it older than what is relied on? @param info the answer of INFO */
export function oldVersion(info: Readonly<Record<string, string>>): boolean {
  const [oldestMajor, oldestMinor] = OLDEST[info.valkey_version ? 'valkey' : 'redis'];
  const [major = 0, minor = 0] = (info.valkey_version ?? info.redis_version ?? '0.0').split('.').map(Number);
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor);
}
