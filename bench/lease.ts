/** Leases: takes that are spent in the process, and what a refill brings home when the bucket is dry. */
import { endWarmup } from '../src/fleet/ips.ts';
import { createSender, type Lease } from '../src/sender/index.ts';
import { MANY_IPS } from './limiter.ts';
import { type Contender, closedLoop, runRounds, scaled, spreadOf, tightLoop } from './measure.ts';
import { type Part, type PartOptions, withClosing } from './part.ts';
import { inProcessPeers, openPeers } from './peers.ts';
import { type Bar, type Row, ratesOf } from './report.ts';
import { addWarmingIps, DRIPPING_PLAN, openStage, type Stage } from './stage.ts';

/** Between two slices leases run out; they are measured as they are in a sender that keeps sending. A thousand of them grow slowly. */
export const WARM_MS = 3_000;
const SIZE = 1_000;
const DRIPPING_BURST = 20_000;
const SENDERS_AT_A_DRY_BUCKET = 4;

export const lease: Part = {
  title: 'leases beside rate-limiter-flexible at 64 in flight',
  inAll: true,
  run: (options) =>
    withClosing(async (closing) => {
      const stage = await openStage();
      closing(stage.close);
      const addresses = (await addWarmingIps(stage.tenant, MANY_IPS)).map(({ address }) => address);
      const sender = await createSender({ redisUrl: stage.url });
      closing(sender.close);
      const handles = (clock: 'call' | 'turn', ips = addresses) =>
        ips.map((ip) => sender.lease({ ip, clock }));
      const [perCall, cached] = [handles('call'), handles('turn')];
      // Without limits: what one lease spends in a run would be more than any limit.
      const [free] = await addWarmingIps(stage.tenant, 1, { firstAddress: MANY_IPS });
      await endWarmup(stage.tenant, free!.id);
      const [onePerCall, oneCached] = [handles('call', [free!.address]), handles('turn', [free!.address])];
      const peers = await openPeers(stage.url, addresses);
      closing(peers.close);
      const alone = inProcessPeers(addresses);

      const spend = (leases: readonly Lease[]) => (forMs: number) =>
        tightLoop((turn) => leases[turn % leases.length]!.tryTake() !== null, forMs, WARM_MS);
      const group: Contender[] = [
        { name: 'N, 64', run: (forMs) => closedLoop(peers.noop, 64, forMs) },
        { name: 'R, 64', run: (forMs) => closedLoop(peers.flexible, 64, forMs) },
        { name: 'R3, 64', run: (forMs) => closedLoop(peers.threeFlexible, 64, forMs) },
        { name: 'lease, clock read per call', run: spend(perCall) },
        { name: 'lease, cached clock', run: spend(cached) },
        { name: 'lease of one IP, clock read per call', run: spend(onePerCall) },
        { name: 'lease of one IP, cached clock', run: spend(oneCached) },
        { name: 'RateLimiterMemory, in-process', run: (forMs) => closedLoop(alone.memory, 64, forMs) },
        { name: 'limiter, in-process', run: (forMs) => tightLoop(alone.limiter, forMs) },
      ];
      const found = await runRounds([group], { ...options, redisCpuUs: stage.redisCpuUs });
      const row = (name: string, unit: string, to: string, mark?: Row['mark']): Row => ({
        figure: name,
        measured: found.ratio(name, to),
        unit,
        ...(mark && { mark }),
      });
      const bar = (label: string, name: string, ours: boolean): Bar => ({
        label,
        value: found.ratio(name, 'R, 64').median,
        ours,
      });
      return {
        rows: [
          row('lease, clock read per call', 'R', 'R, 64', { wanted: 250, stretch: 400 }),
          row('lease, cached clock', 'R', 'R, 64', { wanted: 600, stretch: 1_000 }),
          row('lease, clock read per call', 'R3', 'R3, 64'),
          row('lease, cached clock', 'R3', 'R3, 64'),
          row('lease of one IP, clock read per call', 'R', 'R, 64'),
          row('lease of one IP, cached clock', 'R', 'R, 64'),
          ...['lease, clock read per call', 'lease, cached clock'].map((name) => ({
            figure: `${name}: calls that got a send at once`,
            measured: scaled(found.granted(name), 100),
            unit: '%',
          })),
          {
            figure: `refill at a dry bucket, lease size ${SIZE}`,
            measured: await sendsPerRefill(stage, options),
            unit: 'sends a round trip',
            mark: { wanted: 100, stretch: 250 },
          },
        ],
        rates: ratesOf(found),
        bars: [
          bar('lease, clock read per call', 'lease, clock read per call', true),
          bar('lease, cached clock', 'lease, cached clock', true),
          bar('lease of one IP, cached clock', 'lease of one IP, cached clock', true),
          bar('RateLimiterMemory, in-process', 'RateLimiterMemory, in-process', false),
          bar('limiter, in-process', 'limiter, in-process', false),
        ],
      };
    }),
};

/** Several senders spend whatever drips into one bucket: what does each of their refills bring? */
async function sendsPerRefill(stage: Stage, { rounds, sliceMs }: PartOptions) {
  return withClosing(async (closing) => {
    const tenant = await stage.account('dry');
    const [ip] = await addWarmingIps(tenant, 1, { plan: DRIPPING_PLAN, burst: DRIPPING_BURST });
    const leases: Lease[] = [];
    for (let count = 0; count < SENDERS_AT_A_DRY_BUCKET; count += 1) {
      const sender = await createSender({ redisUrl: stage.url, account: 'dry' });
      closing(sender.close);
      leases.push(sender.lease({ ip: ip!.address, size: SIZE }));
    }
    const total = (what: 'roundTrips' | 'granted') => leases.reduce((sum, { stats }) => sum + stats[what], 0);
    const perRoundTrip: number[] = [];
    for (let round = -1; round < rounds; round += 1) {
      const before = { roundTrips: total('roundTrips'), granted: total('granted') };
      await tightLoop((turn) => leases[turn % leases.length]!.tryTake() !== null, 3 * sliceMs);
      const roundTrips = total('roundTrips') - before.roundTrips;
      // The first slice empties the bucket.
      if (round >= 0 && roundTrips > 0) perRoundTrip.push((total('granted') - before.granted) / roundTrips);
    }
    return spreadOf(perRoundTrip);
  });
}
