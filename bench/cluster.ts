/**
 * Accounts spread over three masters of a Redis Cluster, beside the same accounts on one Redis; and what a take costs in
 * commands. One process asks, so the rate shows what the cluster costs it and not what three masters could do.
 */
import type { Tenant } from '../src/fleet/engine.ts';
import { startRedisCluster } from '../test/support/redis-cluster.ts';
import { openLimiters } from './limiter.ts';
import { type Contender, closedLoop, runRounds } from './measure.ts';
import { type Part, withClosing } from './part.ts';
import { pin } from './processes.ts';
import { type Row, ratesOf } from './report.ts';
import { addWarmingIps, openStage, openStageOn, type Stage } from './stage.ts';

const MASTERS = 3;
const IPS_PER_ACCOUNT = 300;
const COUNTED_TAKES = 5_000;

export const cluster: Part = {
  title: 'three masters of a cluster beside one Redis',
  inAll: false,
  run: (options) =>
    withClosing(async (closing) => {
      const single = await openStage();
      closing(single.close);
      const servers = await startRedisCluster();
      closing(() => servers.stop());
      for (const { server } of servers.nodes) pin(server.pid, 'redis');
      const clustered = await openStageOn(servers.url);
      closing(clustered.close);

      const accounts = await accountsOnEachMaster(clustered, async (key) => (await servers.masterOf(key)).id);
      const sides = { 'one Redis': single, 'three masters': clustered };
      const groups: Contender[][] = [[], [], []];
      const rows: Row[] = [];
      for (const [side, stage] of Object.entries(sides)) {
        const limiters = await openLimiters(stage);
        closing(limiters.close);
        const tenants: Awaited<ReturnType<typeof takersOf>>[] = [];
        for (const { name, tenant: there } of accounts) {
          // On the cluster they are there already, from looking for their masters.
          const tenant = stage === clustered ? there : await stage.account(name);
          tenants.push(await takersOf(tenant, limiters));
        }
        const take = (how: 'alone' | 'together') => (turn: number) => {
          const { addresses, ...limiter } = tenants[turn % tenants.length]!;
          return limiter[how].take({ ip: addresses[Math.floor(turn / MASTERS) % IPS_PER_ACCOUNT]! });
        };
        const contenders: [name: string, how: 'alone' | 'together', inFlight: number][] = [
          ['single take, 64 in flight', 'alone', 64],
          ['coalesced, 64 in flight', 'together', 64],
          ['coalesced, 512 in flight', 'together', 512],
        ];
        for (const [index, [name, how, inFlight]] of contenders.entries()) {
          groups[index]!.push({
            name: `${name}, ${side}`,
            run: (forMs) => closedLoop(take(how), inFlight, forMs),
          });
          const counted = await commandsPerTake(
            stage === clustered ? servers.nodes.slice(0, MASTERS).map(({ redis }) => redis) : [stage.redis],
            take(how),
            inFlight,
          );
          const row = (what: string, count: number): Row => ({
            figure: `${name}, ${side}: ${what}`,
            measured: { median: count, low: count, high: count },
            unit: 'a take',
          });
          rows.push(row('script calls', counted.scripts), row('commands in Redis', counted.all));
        }
      }
      const found = await runRounds(groups, options);
      const rates = groups.map(
        ([one, three]): Row => ({
          figure: three!.name,
          measured: found.ratio(three!.name, one!.name),
          unit: 'of one Redis',
        }),
      );
      return { rows: [...rates, ...rows], rates: ratesOf(found) };
    }),
};

async function takersOf(tenant: Tenant, limiters: Awaited<ReturnType<typeof openLimiters>>) {
  const ips = await addWarmingIps(tenant, IPS_PER_ACCOUNT);
  return {
    alone: limiters.alone(tenant.account),
    together: limiters.of(tenant.account),
    addresses: ips.map(({ address }) => address),
  };
}

/** Accounts whose slots lie on different masters. */
async function accountsOnEachMaster(stage: Stage, masterOf: (key: string) => Promise<string>) {
  const found = new Map<string, { name: string; tenant: Tenant }>();
  for (let number = 1; found.size < MASTERS; number += 1) {
    const name = `account-${number}`;
    const tenant = await stage.account(name);
    const master = await masterOf(tenant.keys.account);
    if (!found.has(master)) found.set(master, { name, tenant });
  }
  return [...found.values()];
}

type Informed = { info(section: string): Promise<string> };

/** Counted by Redis itself; what a script calls inside counts as well. */
async function commandsPerTake(
  masters: readonly Informed[],
  take: (turn: number) => Promise<unknown>,
  inFlight: number,
) {
  const calls = async () => {
    const stats = (await Promise.all(masters.map((master) => master.info('commandstats')))).join('\n');
    let [scripts, all] = [0, 0];
    for (const [, name, count] of stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
      if (/^(info|ping|hello|client|cluster|replconf|config|command)/.test(name!)) continue;
      if (/^eval/.test(name!)) scripts += Number(count);
      all += Number(count);
    }
    return { scripts, all };
  };
  const before = await calls();
  let turn = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (turn < COUNTED_TAKES) {
        turn += 1;
        await take(turn);
      }
    }),
  );
  const after = await calls();
  return { scripts: (after.scripts - before.scripts) / turn, all: (after.all - before.all) / turn };
}
