/** The hot path without leases: a take by itself, takes of one turn together, and the choice of an IP. */
import { createPool } from '../src/fleet/pools.ts';
import { connect } from '../src/redis/connect.ts';
import type { AccountRef } from '../src/redis/keys.ts';
import { createLimiter } from '../src/redis/limiter.ts';
import { createScripts } from '../src/redis/scripts.ts';
import { type Contender, closedLoop, runRounds, timedLoop } from './measure.ts';
import { type Part, withClosing } from './part.ts';
import { openBottleneck, openPeers } from './peers.ts';
import { type Bar, type Rate, type Row, ratesOf, short } from './report.ts';
import { addWarmingIps, openStage, type Stage } from './stage.ts';

export const MANY_IPS = 1_000;
const FEW_IPS = 16;
const IPS_WITHOUT_POOL = 10_000;

const contender = (name: string, inFlight: number, call: (turn: number) => Promise<unknown>): Contender => ({
  name: `${name}, ${inFlight}`,
  run: (forMs) => closedLoop(call, inFlight, forMs),
});

/** All on one connection, as in one sender; `alone` sends each take by itself. */
export async function openLimiters(stage: Stage, testClock = false) {
  const redis = await connect(stage.url);
  const scripts = createScripts(redis, { testClock });
  return {
    of: (account: AccountRef) => createLimiter(scripts, account),
    alone: (account: AccountRef) => createLimiter(scripts, account, { coalesce: false }),
    close: () => redis.disconnect(),
  };
}

export const limiter: Part = {
  title: 'takes beside a no-op script and rate-limiter-flexible',
  inAll: true,
  run: (options) =>
    withClosing(async (closing) => {
      const stage = await openStage();
      closing(stage.close);
      const one = stage.tenant;
      const addresses = (await addWarmingIps(one, MANY_IPS)).map(({ address }) => address);
      const few = addresses.slice(0, FEW_IPS);
      const [of16, of100, noPool] = [
        await stage.account('pool-of-16'),
        await stage.account('pool-of-100'),
        await stage.account('no-pool'),
      ];
      for (const [tenant, size] of [[of16, 16] as const, [of100, 100] as const]) {
        const ips = (await addWarmingIps(tenant, size)).map(({ id }) => id);
        await createPool(tenant, { name: 'pool', ips });
      }
      const noPoolSize = options.quick ? IPS_WITHOUT_POOL / 10 : IPS_WITHOUT_POOL;
      await addWarmingIps(noPool, noPoolSize);

      const limiters = await openLimiters(stage);
      closing(limiters.close);
      const [alone, together] = [limiters.alone(one.account), limiters.of(one.account)];
      const tenants = [one, of16, of100, noPool];
      const choosing = {
        alone: tenants.map((each) => limiters.alone(each.account)),
        together: tenants.map((each) => limiters.of(each.account)),
      };
      const peers = await openPeers(stage.url, addresses);
      closing(peers.close);
      const bottleneck = await openBottleneck(stage.url);
      closing(bottleneck.close);

      const at = (turn: number) => ({ ip: addresses[turn % MANY_IPS]! });
      const atFew = (turn: number) => ({ ip: few[turn % FEW_IPS]! });
      const first = { ip: addresses[0]! };
      const choices = (inFlight: number, how: 'alone' | 'together') => {
        const [ofOne, in16, in100, among] = choosing[how];
        const words = how === 'alone' ? '' : ', shared';
        return [
          contender(`take from one IP${words}`, inFlight, () => ofOne!.take(first)),
          contender(`take from a pool of 16${words}`, inFlight, () => in16!.take({ pool: 'pool' })),
          contender(`take from a pool of 100${words}`, inFlight, () => in100!.take({ pool: 'pool' })),
          contender(`take from no pool${words}`, inFlight, () => among!.take({})),
        ];
      };
      const beside = (inFlight: number) => [
        contender('N', inFlight, peers.noop),
        contender('R', inFlight, peers.flexible),
        contender('R3', inFlight, peers.threeFlexible),
      ];
      const groups: Contender[][] = [
        [...beside(1), contender('single take', 1, (turn) => alone.take(at(turn)))],
        choices(1, 'alone'),
        [
          ...beside(64),
          contender('single take', 64, (turn) => alone.take(at(turn))),
          contender('coalesced, 1000 IPs', 64, (turn) => together.take(at(turn))),
          { name: 'latency', run: (forMs) => timedLoop((turn) => together.take(at(turn)), 64, forMs) },
          { name: 'latency of N', run: (forMs) => timedLoop(peers.noop, 64, forMs) },
        ],
        choices(64, 'alone'),
        choices(64, 'together'),
        [
          ...beside(512),
          contender('coalesced, 1000 IPs', 512, (turn) => together.take(at(turn))),
          contender('coalesced, 16 IPs', 512, (turn) => together.take(atFew(turn))),
        ],
      ];
      const found = await runRounds(groups, { ...options, redisCpuUs: stage.redisCpuUs });
      // It is some hundred times slower than the others: a few slices tell enough, and R beside it is that of the run.
      const slow = await runRounds([[contender('bottleneck', 64, bottleneck.schedule), ...beside(64)]], {
        rounds: Math.min(3, options.rounds),
        sliceMs: options.sliceMs,
        step: () => {},
      });

      const rows: Row[] = [];
      const add = (figure: string, name: string, unit: string, to: string, mark?: Row['mark']) =>
        rows.push({ figure, measured: found.ratio(name, to), unit, ...(mark && { mark }) });
      const [single, n] = ['single take', { wanted: 0.8, stretch: 0.9 }];
      add(`${single}, 1 in flight`, `${single}, 1`, 'N', 'N, 1', n);
      add(`${single}, 1 in flight`, `${single}, 1`, 'R', 'R, 1');
      add(`${single}, 1 in flight`, `${single}, 1`, 'R3', 'R3, 1');
      add(`${single}, 64 in flight`, `${single}, 64`, 'N', 'N, 64', n);
      add(`${single}, 64 in flight`, `${single}, 64`, 'R', 'R, 64', { wanted: 1.4 });
      add(`${single}, 64 in flight`, `${single}, 64`, 'R3', 'R3, 64', { wanted: 4.5 });
      const many = 'coalesced, 1000 IPs';
      add('coalesced, 1 000 IPs, 64 in flight', `${many}, 64`, 'N', 'N, 64');
      add('coalesced, 1 000 IPs, 512 in flight', `${many}, 512`, 'N', 'N, 512', { wanted: 4, stretch: 5 });
      add('coalesced, 1 000 IPs, 512 in flight', `${many}, 512`, 'R', 'R, 512', { wanted: 5 });
      add('coalesced, 1 000 IPs, 512 in flight', `${many}, 512`, 'R3', 'R3, 512', { wanted: 15 });
      add('coalesced, 16 IPs, 512 in flight', 'coalesced, 16 IPs, 512', 'N', 'N, 512', {
        wanted: 12,
        stretch: 14,
      });
      rows.push(
        {
          figure: 'p99, coalesced, 64 in flight',
          measured: found.p99OverP50('latency'),
          unit: 'p50',
          mark: { wanted: 3, stretch: 2, atMost: true },
        },
        { figure: 'p99 of N, 64 in flight', measured: found.p99OverP50('latency of N'), unit: 'p50' },
      );
      for (const [choice, words, wanted] of [
        ['take from a pool of 16', 'take from a pool of 16', 0.7],
        ['take from a pool of 100', 'take from a pool of 100', 0.6],
        ['take from no pool', `take from no pool among ${short(noPoolSize)} IPs`, 0.5],
      ] as const) {
        for (const inFlight of [1, 64]) {
          const figure = `${words}, ${inFlight} in flight`;
          add(figure, `${choice}, ${inFlight}`, 'of one IP', `take from one IP, ${inFlight}`, {
            wanted,
            stretch: 0.9,
          });
        }
        // For information: callers that share a call write one record for all who want the same IP, and one for each of the
        // IPs that a pool spreads them over.
        add(
          `${words}, shared, 64 in flight`,
          `${choice}, shared, 64`,
          'of one IP',
          'take from one IP, shared, 64',
        );
      }

      const bar = (label: string, name: string, inFlight: number, ours: boolean): Bar => ({
        label,
        value: found.ratio(`${name}, ${inFlight}`, `R, ${inFlight}`).median,
        ours,
      });
      const bars: Bar[] = [
        { label: 'Bottleneck on Redis', value: slow.ratio('bottleneck, 64', 'R, 64').median, ours: false },
        bar('three of rate-limiter-flexible', 'R3', 64, false),
        bar('rate-limiter-flexible', 'R', 64, false),
        bar('a script that does nothing', 'N', 64, false),
        bar('single take, 64 in flight', single, 64, true),
        bar('takes, 1 000 IPs, 64 in flight', many, 64, true),
        bar('takes, 1 000 IPs, 512 in flight', many, 512, true),
        bar('takes, 16 IPs, 512 in flight', 'coalesced, 16 IPs', 512, true),
      ];
      const rates: Rate[] = [...ratesOf(found), ...ratesOf(slow, ['bottleneck, 64'])];
      return { rows, rates, bars };
    }),
};
