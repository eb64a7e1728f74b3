import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, type Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { openDatabase } from '../../src/fleet/database.ts';
import { type Engine, nowIn, type Tenant } from '../../src/fleet/engine.ts';
import { addToInventory, bringIps, createIps, listInventory } from '../../src/fleet/inventory.ts';
import { getIp } from '../../src/fleet/ips.ts';
import { checkServer } from '../../src/redis/check.ts';
import { connect, connectForQueue, type RedisConnection } from '../../src/redis/connect.ts';
import { createLimiter } from '../../src/redis/limiter.ts';
import { watchClocks } from '../../src/worker/clock-watch.ts';
import { eventually, killPrograms } from '../support/processes.ts';
import { type RedisCluster, startClusterNode, startRedisCluster } from '../support/redis-cluster.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { accountOn, KEY, openEngine, startWarmline } from './support.ts';

// A real cluster of three masters with a replica each. What happens when it changes under traffic: traffic.test.ts.

let cluster: RedisCluster;
let engine: Engine;
let tenants: Tenant[];

beforeAll(async () => {
  cluster = await startRedisCluster();
  engine = await openEngine(cluster.url);
  tenants = [];
  for (const node of cluster.nodes.slice(0, 3)) tenants.push(await accountOn(cluster, engine, node));
});
afterAll(async () => {
  engine?.scripts.redis.disconnect();
  await cluster?.stop();
});

/** Script calls and other commands that each of the three masters has run. */
async function callsByNode(): Promise<number[]> {
  const infos = await Promise.all(cluster.nodes.slice(0, 3).map(({ redis }) => redis.info('commandstats')));
  return infos.map((info) => Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(info)?.[1] ?? 0));
}

test('accounts spread over the masters: each take is one command, on the master that has the account', async () => {
  const took: number[][] = [];
  for (const tenant of tenants) {
    const [ip] = await bringIps(tenant, {
      addresses: [`192.0.2.${tenants.indexOf(tenant)}`],
      status: 'active',
    });
    const limiter = createLimiter(engine.scripts, tenant.account);
    // The first one sends the script itself.
    expect((await limiter.take({ ip: ip!.address })).allowed).toBe(true);
    expect((await limiter.take({})).allowed).toBe(true);
    const before = await callsByNode();
    for (let turn = 0; turn < 50; turn += 1) {
      expect((await limiter.take({ ip: ip!.address })).allowed).toBe(true);
      expect((await limiter.take({})).allowed).toBe(true);
    }
    const after = await callsByNode();
    took.push(after.map((calls, index) => calls - before[index]!));
  }
  expect(took).toEqual([
    [100, 0, 0],
    [0, 100, 0],
    [0, 0, 100],
  ]);
});

test('an account is on the clock of its own master', async () => {
  const before = await callsByNode();
  for (const tenant of tenants) expect(Math.abs((await nowIn(tenant)) - Date.now())).toBeLessThan(5_000);
  const after = await callsByNode();
  expect(after.map((calls, index) => calls - before[index]!)).toEqual([1, 1, 1]);
});

test('the clock of each master is watched: one that jumps ahead is reported, and nothing is advanced on it', async () => {
  const said: string[] = [];
  const log = { error: (_: unknown, text: string) => said.push(text), info: () => {}, child: () => log };
  const check = watchClocks(log as never, engine);
  expect(await check()).toEqual({ steppedMs: 0, trusted: true });
  const [, master] = (engine.scripts.redis as Cluster).nodes('master');
  const ahead = vi.spyOn(master!, 'time').mockResolvedValue([Date.now() / 1000 + 7_200, 0]);
  expect((await check()).trusted).toBe(false);
  expect(said).toEqual([expect.stringContaining('the clock of Redis stepped forward')]);
  ahead.mockRestore();
  // Set right again: what the wrong time put off is looked at anew.
  expect(await check()).toEqual({ steppedMs: expect.closeTo(-7_200_000, -4), trusted: true });
});

test('API, worker and senders in processes of their own: IPs are created, warmed and used in all accounts', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'warmline-cluster-'));
  try {
    await addToInventory(engine, { addresses: ['198.51.100.0/29'] });
    const [api] = await Promise.all([
      startWarmline('api', cluster.url, dataDir),
      startWarmline('worker', cluster.nodes[5]!.server.url, dataDir),
    ]);
    const ask = async (method: string, path: string, body: unknown = null, key = KEY) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      const init = body === null ? { method, headers } : { method, headers, body: JSON.stringify(body) };
      const answer = await fetch(`${api.url}${path}`, init);
      expect(answer.status, `${method} ${path}`).toBeLessThan(300);
      // biome-ignore lint/suspicious/noExplicitAny: the expectations say what is looked at
      return (await answer.json()) as any;
    };
    expect(await ask('GET', '/readyz')).toMatchObject({ ok: true });

    await Promise.all(
      tenants.map(async (tenant) => {
        const scopes = ['read', 'send', 'write'];
        const { key } = await ask('POST', '/v1/keys', { account: tenant.account.id, scopes });
        const created = await ask('POST', '/v1/dedicated-ips', {}, key);
        await ask('POST', `/v1/dedicated-ips/${created.id}/warmup`, {}, key);
        const answer = await ask('POST', '/v1/quota/take', { ip: created.ipAddress, count: 3 }, key);
        expect(answer).toMatchObject({ allowed: true, limit: 20, remaining: 17 });
        // That one was warmed by request. This one says that it is to be warmed, and the worker does it.
        const [automatic] = await createIps(tenant, { count: 1, autoWarmup: true });
        await eventually('the worker has begun its warm-up', async () => {
          const { status } = await getIp(tenant, automatic!.id);
          return status === 'warming';
        });
      }),
    );
    const { entries } = await listInventory(engine);
    const leased = entries.filter(({ leased }) => leased);
    expect(leased.map(({ state }) => state).sort()).toEqual([
      ...Array(2).fill('free'),
      ...Array(6).fill('held'),
    ]);
  } finally {
    killPrograms();
    rmSync(dataDir, { recursive: true, force: true });
  }
});

describe('a connection', () => {
  const open: RedisConnection[] = [];
  const servers: RedisServer[] = [];
  afterEach(async () => {
    for (const redis of open.splice(0)) redis.disconnect();
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });
  const keep = <Connection extends RedisConnection>(redis: Connection) => {
    open.push(redis);
    return redis;
  };

  test('to one node, also a replica, is one to the cluster', async () => {
    for (const node of [cluster.nodes[0]!, cluster.nodes[5]!]) {
      expect(keep(await connect(node.server.url))).toBeInstanceOf(Cluster);
    }
  });

  test('to several nodes that are no cluster is refused', async () => {
    const [one, other] = await Promise.all([startRedisServer(), startRedisServer()]);
    servers.push(one, other);
    await expect(connect(`${one.url},${other.url}`)).rejects.toThrow(
      `${one.url},${other.url} names several nodes, but they are no cluster; name the one Redis that is meant`,
    );
  });

  test('to a cluster that is not there says so, without the password', async () => {
    await expect(connect('redis://:geheim@127.0.0.1:1,127.0.0.1:2')).rejects.toThrow(
      /^cannot reach the Redis Cluster at redis:\/\/…@127.0.0.1:1,redis:\/\/…@127.0.0.1:2 \(.+\); is it running\?$/,
    );
  });

  test('to a cluster with slots that nobody serves says so', async () => {
    const lonely = await startClusterNode();
    servers.push(lonely);
    await expect(connect(lonely.url)).rejects.toThrow(/some of its slots are served by no node/);
  });

  test('is refused with a test clock, which needs a single Redis', async () => {
    await expect(openDatabase(engine.scripts.redis, Date.now())).rejects.toThrow(
      'WARMLINE_TEST_CLOCK is set, but this is a Redis Cluster, and a test clock needs a single Redis',
    );
  });

  /** Runs a script that counts, and breaks the connection when it has been sent; says how often it then ran. */
  async function timesRunWhenBroken(redis: Cluster): Promise<{ answered: number; runs: number }> {
    let answered = 0;
    const turns = 20;
    for (let turn = 0; turn < turns; turn += 1) {
      const key = `warmline:{broken}:${turn}`;
      await redis.get(key); // the connection to its node is open
      const master = (await cluster.masterOf(key)).server.port;
      const node = redis.nodes('master').find(({ options }) => options.port === master)!;
      const answer = redis.incr(key).then(
        () => 1,
        () => 0,
      );
      node.stream.end(); // what was written goes out; the answer finds nobody
      node.stream.destroySoon();
      answered += await answer;
    }
    const keys = Array.from({ length: turns }, (_, turn) => `warmline:{broken}:${turn}`);
    const runs = (await Promise.all(keys.map((key) => engine.scripts.redis.getdel(key)))).map(Number);
    return { answered, runs: runs.reduce((total, count) => total + count, 0) };
  }

  test('that debits sends nothing again whose outcome is unknown', async () => {
    const { answered, runs } = await timesRunWhenBroken(keep((await connect(cluster.url)) as Cluster));
    // Each ran once, and whoever asked was told that this is not known.
    expect({ answered, runs }).toEqual({ answered: 0, runs: 20 });
    // The test would notice: as ioredis does it by itself, each answers in the end and most ran twice.
    const usual = keep(connectForQueue(cluster.url, engine.scripts.redis) as Cluster);
    const usually = await timesRunWhenBroken(usual);
    expect(usually.answered).toBe(20);
    expect(usually.runs).toBeGreaterThan(30);
  });

  test('that debits answers at once while there is no cluster', async () => {
    const redis = keep((await connect(cluster.url)) as Cluster);
    redis.disconnect();
    await expect(redis.get('warmline:{broken}:0')).rejects.toThrow('Connection is closed.');
  });
});

test('the check at the start looks at every master', async () => {
  const redis = engine.scripts.redis as Cluster;
  const [, second] = cluster.nodes;
  const policy = (value: string): Promise<unknown> =>
    (second!.redis as Redis).config('SET', 'maxmemory-policy', value);
  await policy('allkeys-lru');
  try {
    const { fatal, warnings, version } = await checkServer(redis);
    expect(fatal).toEqual([
      `127.0.0.1:${second!.server.port}: maxmemory-policy is allkeys-lru, so a full Redis would forget quotas; set it to noeviction`,
    ]);
    expect(warnings).toHaveLength(3);
    expect(warnings.every((warning) => warning.includes('the append-only file is off'))).toBe(true);
    expect(version).toMatch(/^cluster of (redis|valkey) \d/);
  } finally {
    await policy('noeviction');
  }
});
