/** Is this Redis set up to keep what it is told, and is it well? Read here, judged without a look at anything. */
import { Cluster, type Redis } from 'ioredis';
import { oldVersion } from '../../redis/check.ts';
import { mastersOf, type RedisConnection } from '../../redis/connect.ts';
import { lasting } from '../../warmup/words.ts';
import { type Finding, failure, ok, warning } from './finding.ts';

export type ServerFacts = {
  /** `host:port` */
  name: string;
  info: Readonly<Record<string, string>>;
  /** `null`: this user may not read the settings. */
  appendfsync: string | null;
  /** `yes`: nothing is brought to the disk while the append-only file is rewritten. */
  noFsyncOnRewrite: string | null;
  /** How far its clock is ahead of this machine's; and how long the question took, within which it cannot be told. */
  aheadMs: number;
  roundTripMs: number;
};

export async function readServers(redis: RedisConnection): Promise<ServerFacts[]> {
  return Promise.all(mastersOf(redis).map(readServer));
}

async function readServer(redis: Redis): Promise<ServerFacts> {
  const info = infoOf(await redis.info());
  const settings = await settingsOf(redis);
  const askedMs = Date.now();
  const [seconds, micros] = await redis.time();
  const answeredMs = Date.now();
  const { host, port } = redis.options;
  return {
    name: `${host}:${port}`,
    info,
    appendfsync: settings.get('appendfsync') ?? null,
    noFsyncOnRewrite: settings.get('no-appendfsync-on-rewrite') ?? null,
    aheadMs: Number(seconds) * 1000 + Number(micros) / 1000 - (askedMs + answeredMs) / 2,
    roundTripMs: answeredMs - askedMs,
  };
}

/** None where this user may not read them. */
async function settingsOf(redis: Redis): Promise<Map<string, string>> {
  const found = (await redis
    .config('GET', 'appendfsync', 'no-appendfsync-on-rewrite')
    .catch((error: Error) => {
      if (error.name !== 'ReplyError') throw error;
      return [];
    })) as string[];
  return new Map(found.flatMap((name, index) => (index % 2 === 0 ? [[name, found[index + 1]!]] : [])));
}

/** What of a cluster is no single node's: `null` where there is none. */
export async function readCluster(redis: RedisConnection): Promise<Record<string, string> | null> {
  return redis instanceof Cluster ? infoOf(await redis.cluster('INFO')) : null;
}

export const infoOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );

/** Of the memory that Redis may use. */
const MEMORY_WARNS = 0.75;
const MEMORY_FAILS = 0.9;
/** A replica that is further behind loses that much in a failover. */
const MOST_REPLICA_LAG_S = 10;
/** A machine whose clock is kept by NTP is right to a tenth of that. */
const MOST_SKEW_MS = 5_000;

export function judgeServer(facts: ServerFacts): Finding[] {
  const { info, name } = facts;
  return [
    judgeVersion(info),
    judgeRole(info),
    judgePolicy(info),
    judgeLog(facts),
    judgeWrites(info),
    judgeMemory(info),
    ...judgeReplicas(info),
    judgeClock(facts),
  ].map((finding) => ({ ...finding, at: name }));
}

function judgeVersion(info: ServerFacts['info']): Finding {
  const kind = info.valkey_version ? 'valkey' : 'redis';
  const version = `${kind} ${info.valkey_version ?? info.redis_version ?? '?'}`;
  return oldVersion(info)
    ? failure('version', version, 'upgrade to Redis 7.0 or Valkey 7.2, or newer')
    : ok('version', version);
}

const judgeRole = (info: ServerFacts['info']) =>
  info.role === 'master'
    ? ok('role', 'master')
    : failure('role', `${info.role}, which takes no writes`, 'point REDIS_URL at its master');

const judgePolicy = ({ maxmemory_policy: policy = '?' }: ServerFacts['info']) =>
  policy === 'noeviction'
    ? ok('eviction', policy)
    : failure('eviction', `${policy}: a full Redis would forget quotas`, 'set maxmemory-policy noeviction');

/** After each restart of a Redis that may have forgotten what it granted (`redis/awake.ts`). */
const LOST_HOUR = 'after each restart the rest of the hour counts as used up';

function judgeLog({ info, appendfsync, noFsyncOnRewrite }: ServerFacts): Finding {
  const check = 'append-only file';
  if (info.aof_enabled !== '1') {
    return failure(check, 'off: a restart forgets what was sent', 'set appendonly yes');
  }
  if (appendfsync === null) {
    return warning(check, 'on; this user may not read appendfsync', 'allow CONFIG GET, or look there');
  }
  if (appendfsync !== 'always') {
    const lost = appendfsync === 'everysec' ? 'up to two seconds are' : 'what the system had not written is';
    return warning(
      check,
      `on, appendfsync ${appendfsync}: ${lost} lost when the machine fails, and ${LOST_HOUR}`,
      'set appendfsync always, unless you know that you can spare them',
    );
  }
  if (noFsyncOnRewrite === 'yes') {
    return warning(
      check,
      `on, appendfsync always, but no-appendfsync-on-rewrite yes: what is granted while the file is rewritten may be lost when the machine fails, and ${LOST_HOUR}`,
      'set no-appendfsync-on-rewrite no',
    );
  }
  return ok(check, 'on, appendfsync always');
}

function judgeWrites(info: ServerFacts['info']): Finding {
  const check = 'writing to disk';
  if (info.loading === '1') return failure(check, 'Redis is still loading its data', 'wait until it has');
  const failed = [
    ['aof_last_write_status', 'the last write to the append-only file failed'],
    ['rdb_last_bgsave_status', 'the last snapshot failed'],
    ['aof_last_bgrewrite_status', 'the last rewrite of the append-only file failed'],
  ].filter(([field]) => info[field!] !== undefined && info[field!] !== 'ok');
  return failed.length === 0
    ? ok(check, 'no errors')
    : failure(
        check,
        failed.map(([, sentence]) => sentence).join('; '),
        'look at the disk of Redis (room, rights) and at its log',
      );
}

function judgeMemory(info: ServerFacts['info']): Finding {
  const used = Number(info.used_memory);
  const most = Number(info.maxmemory) || 0;
  const machine = Number(info.total_system_memory) || 0;
  const limit = most > 0 ? most : machine;
  const found = `${megabytes(used)} of ${megabytes(limit)}${most > 0 ? '' : ' (the whole machine, maxmemory is not set)'}`;
  const todo = 'give Redis more memory: without it nothing is written, and nothing granted';
  if (limit === 0) return ok('memory', megabytes(used));
  if (used > MEMORY_FAILS * limit) return failure('memory', found, todo);
  return used > MEMORY_WARNS * limit ? warning('memory', found, todo) : ok('memory', found);
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MB`;

function judgeReplicas(info: ServerFacts['info']): Finding[] {
  const count = Number(info.connected_slaves ?? 0);
  if (count === 0) {
    return [
      info.cluster_enabled === '1'
        ? warning('replicas', 'none: the accounts of this master stop while it is away', 'give it one')
        : ok('replicas', 'none'),
    ];
  }
  const replicas = Array.from({ length: count }, (_, index) =>
    Object.fromEntries(
      (info[`slave${index}`] ?? '').split(',').map((pair) => pair.split('=') as [string, string]),
    ),
  );
  return replicas.map((replica) => {
    const who = `${replica.ip}:${replica.port}`;
    if (replica.state !== 'online')
      return failure('replicas', `${who} is not in step (${replica.state ?? 'unknown'})`, 'look at its log');
    const lag = Number(replica.lag);
    return lag > MOST_REPLICA_LAG_S
      ? warning(
          'replicas',
          `${who} was last heard of ${lag} s ago`,
          'a failover now would lose what was sent since; look at its network',
        )
      : ok('replicas', `${who} online, heard of ${lag} s ago`);
  });
}

function judgeClock({ aheadMs, roundTripMs }: ServerFacts): Finding {
  const off = Math.max(0, Math.abs(aheadMs) - roundTripMs);
  if (off < MOST_SKEW_MS)
    return ok(
      'clock',
      `within ${Math.max(1, Math.ceil((Math.abs(aheadMs) + roundTripMs) / 1000))} s of this machine`,
    );
  return warning(
    'clock',
    `${lasting(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine`,
    'quotas go by the clock of Redis: let chrony or ntpd keep it, and this one',
  );
}

export function judgeCluster(info: Readonly<Record<string, string>>): Finding {
  const unserved = 16_384 - Number(info.cluster_slots_ok);
  return info.cluster_state === 'ok' && unserved === 0
    ? ok('cluster', `ok, ${info.cluster_size} masters`)
    : failure(
        'cluster',
        `${info.cluster_state}, ${unserved} slots not served`,
        'accounts in these slots get nothing: bring their masters or replicas back',
      );
}
