/** What the tests on a cluster have in common: accounts that are known to live apart, processes, and senders under way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { onTestFinished } from 'vitest';
import { createAccount, ensureDefaultAccount } from '../../src/fleet/accounts.ts';
import { openDatabase } from '../../src/fleet/database.ts';
import { type Engine, randomId, type Tenant, tenantOf } from '../../src/fleet/engine.ts';
import { connect } from '../../src/redis/connect.ts';
import { createLimiter } from '../../src/redis/limiter.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import { createSender, type TakeRequest } from '../../src/sender/index.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { DAY_MS } from '../../src/warmup/units.ts';
import { bookOf } from '../support/fleet.ts';
import { type Program, startProgram } from '../support/processes.ts';
import type { ClusterNode, RedisCluster } from '../support/redis-cluster.ts';
import { WARMLINE } from '../support/warmline.ts';

export const KEY = 'a-key-of-more-than-20-characters';

export async function openEngine(url: string): Promise<Engine> {
  const redis = await connect(url);
  const { testClock } = await openDatabase(redis, null);
  const scripts = createScripts(redis, { testClock });
  const engine: Engine = { scripts, book: bookOf(), cooldownMs: 30 * DAY_MS, newId: randomId };
  await ensureDefaultAccount(engine);
  return engine;
}

/** One more account on a master. Ids are random, so a few are made that live elsewhere. */
export async function accountOn(cluster: RedisCluster, engine: Engine, node: ClusterNode): Promise<Tenant> {
  for (let attempt = 1; attempt <= 60; attempt++) {
    const { id, parentId } = await createAccount(engine, `house.${randomId('x').slice(2)}`);
    const tenant = tenantOf(engine, { id, parentId }, 'test');
    if ((await cluster.masterOf(tenant.keys.account)) === node) return tenant;
  }
  throw new Error(`60 accounts, and none of them on ${node.server.port}.`);
}

/** `warmline api` or `warmline worker`, as it is deployed, once it says that it runs. */
export async function startWarmline(
  command: 'api' | 'worker',
  redisUrl: string,
  dataDir: string,
): Promise<Program & { url: string }> {
  const program = startProgram(pathToFileURL(WARMLINE), [command], {
    ...process.env,
    ...{
      REDIS_URL: redisUrl,
      PORT: '0',
      LOG_LEVEL: 'info',
      WARMLINE_DATA_DIR: dataDir,
      WARMLINE_API_KEY: KEY,
    },
  });
  for (;;) {
    const line = await program.line();
    const url = /Warmline answers at (http:\/\/[^;"]+);/.exec(line)?.[1];
    if (url || /"running; stop with/.test(line)) return { ...program, url: url ?? '' };
  }
}

/** What senders were told: the sends granted for each IP, and those of takes whose outcome nobody knows. */
export type Told = {
  granted: Map<string, number>;
  total: number;
  unknown: number;
  /** Answers that the limits or Redis denied. */
  denied: number;
  errors: unknown[];
};

/** Senders that take as fast as they can, each on connections of its own, until they are stopped or the test is over. */
export async function startSenders(
  url: string,
  account: string,
  { senders, request }: { senders: number; request: (turn: number) => TakeRequest },
): Promise<{ told: Told; stop(): Promise<void> }> {
  const told: Told = { granted: new Map(), total: 0, unknown: 0, denied: 0, errors: [] };
  let stopped = false;
  const open = await Promise.all(
    Array.from({ length: senders }, () => createSender({ redisUrl: url, account })),
  );
  const loops = open.map(async (sender) => {
    for (let turn = 0; !stopped; turn += 1) {
      const asked = request(turn);
      try {
        const answer = await sender.take(asked);
        for (const { ip, count } of answer.granted) {
          told.granted.set(ip, (told.granted.get(ip) ?? 0) + count);
          told.total += count;
        }
        if (answer.allowed) continue;
        told.denied += 1;
        if (answer.because?.code === 'unreachable') told.unknown += asked.count ?? 1;
      } catch (error) {
        told.errors.push(error);
      }
      await sleep(20); // a real one waits for `retryAfterMs`
    }
  });
  async function stop() {
    stopped = true;
    await Promise.all(loops);
    await Promise.all(open.map((sender) => sender.close()));
  }
  onTestFinished(stop);
  return { told, stop };
}

/** What the records say was sent, for each IP. */
export async function charged(
  { engine, account }: Tenant,
  ips: readonly DedicatedIp[],
): Promise<Map<string, number>> {
  const limiter = createLimiter(engine.scripts, account);
  const looks = await Promise.all(ips.map(({ address, id }) => limiter.look(address, id)));
  return new Map(ips.map(({ address }, index) => [address, looks[index]!.counter?.state.dayUsed ?? 0]));
}

export const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0);
