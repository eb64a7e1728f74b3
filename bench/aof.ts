/** What the append-only file costs: two Redis servers, one with it and one without, in the same rounds. */
import { createPool } from '../src/fleet/pools.ts';
import { createSender } from '../src/sender/index.ts';
import { WARM_MS } from './lease.ts';
import { MANY_IPS, openLimiters } from './limiter.ts';
import { type Contender, closedLoop, runRounds, tightLoop } from './measure.ts';
import { type Closing, type Part, withClosing } from './part.ts';
import { openPeers } from './peers.ts';
import { type Row, ratesOf } from './report.ts';
import { addWarmingIps, openStage } from './stage.ts';

const FEW_IPS = 16;
const WITH = 'with the file';
const WITHOUT = 'without';

export const aof: Part = {
  title: 'with the append-only file (everysec) beside without',
  inAll: true,
  run: (options) =>
    withClosing(async (closing) => {
      const without = await contendersOn(WITHOUT, false, closing);
      const with_ = await contendersOn(WITH, true, closing);
      // Each with its twin beside it, also after the order is turned.
      const groups = without.map((contender, index) => [contender, with_[index]!]);
      const found = await runRounds(groups, options);
      const rows: Row[] = groups.map(([contender]) => {
        const figure = contender!.name.slice(0, -WITHOUT.length - 2);
        const measured = found.ratio(`${figure}, ${WITH}`, `${figure}, ${WITHOUT}`);
        const isPeer = /^(N|R),/.test(figure);
        return {
          figure: `${figure}, with the file`,
          measured,
          unit: 'of without',
          ...(!isPeer && { mark: { wanted: 0.9, stretch: 0.95 } }),
        };
      });
      return { rows, rates: ratesOf(found) };
    }),
};

async function contendersOn(which: string, appendOnly: boolean, closing: Closing): Promise<Contender[]> {
  const stage = await openStage({ appendOnly });
  closing(stage.close);
  const ips = await addWarmingIps(stage.tenant, MANY_IPS);
  const addresses = ips.map(({ address }) => address);
  for (const size of [16, 100]) {
    await createPool(stage.tenant, { name: `pool-${size}`, ips: ips.slice(0, size).map(({ id }) => id) });
  }
  const limiters = await openLimiters(stage);
  closing(limiters.close);
  const { account } = stage.tenant;
  const [alone, together] = [limiters.alone(account), limiters.of(account)];
  const peers = await openPeers(stage.url, addresses);
  closing(peers.close);

  const at = (turn: number) => ({ ip: addresses[turn % MANY_IPS]! });
  const atFew = (turn: number) => ({ ip: addresses[turn % FEW_IPS]! });
  const contender = (
    name: string,
    inFlight: number,
    call: (turn: number) => Promise<unknown>,
  ): Contender => ({
    name: `${name}, ${inFlight} in flight, ${which}`,
    run: (forMs) => closedLoop(call, inFlight, forMs),
  });
  const contenders = [
    contender('N', 64, peers.noop),
    contender('R', 64, peers.flexible),
    contender('single take', 1, (turn) => alone.take(at(turn))),
    contender('single take', 64, (turn) => alone.take(at(turn))),
    contender('coalesced, 1 000 IPs', 64, (turn) => together.take(at(turn))),
    contender('coalesced, 1 000 IPs', 512, (turn) => together.take(at(turn))),
    contender('coalesced, 16 IPs', 512, (turn) => together.take(atFew(turn))),
    contender('take from a pool of 16', 64, () => together.take({ pool: 'pool-16' })),
    contender('take from a pool of 100', 64, () => together.take({ pool: 'pool-100' })),
    contender('take from no pool', 64, () => together.take({})),
  ];

  const sender = await createSender({ redisUrl: stage.url });
  closing(sender.close);
  const leases = addresses.map((ip) => sender.lease({ ip }));
  const spend = (turn: number) => leases[turn % MANY_IPS]!.tryTake() !== null;
  return [
    ...contenders,
    { name: `lease, clock read per call, ${which}`, run: (forMs) => tightLoop(spend, forMs, WARM_MS) },
  ];
}
