/**
 * How dear is a take? Against a script that does nothing on the same connection, in the same round: the client library,
 * the socket and Redis itself are in both, so the ratio is what Warmline costs.
 */
import { addToInventory, createIp } from '../src/fleet/inventory.ts';
import { endWarmup, startWarmup } from '../src/fleet/ips.ts';
import { addIpToPool, createPool } from '../src/fleet/pools.ts';
import { createLimiter } from '../src/redis/limiter.ts';
import { median, openStage, rate } from './stage.ts';

const ROUNDS = 9;
const SLICE_MS = 250;
const IN_FLIGHT = [1, 64, 512];
const IPS = 16;

export async function benchLimiter(step: (done: number, total: number) => void) {
  const stage = await openStage(null);
  const { tenant, redis } = stage;
  await addToInventory(stage.engine, { addresses: ['198.18.0.0/28'] });
  await createPool(tenant, { name: 'pool' });
  const addresses: string[] = [];
  for (let at = 0; at < IPS; at += 1) {
    const ip = await createIp(tenant);
    await startWarmup(tenant, ip.id, {});
    if (at < IPS - 1) await endWarmup(tenant, ip.id); // without limits, so that every take is granted
    await addIpToPool(tenant, 'pool', ip.id);
    addresses.push(ip.address);
  }
  const warming = addresses.at(-1)!;
  const limiter = createLimiter(stage.scripts, tenant.account);
  await limiter.take({ ip: warming, count: 20 }); // its hour is used up: every take of it is denied
  const noop = String(await redis.script('LOAD', 'return 1'));

  const calls: Record<string, (caller: number) => Promise<unknown>> = {
    'no-op script': () => redis.evalsha(noop, 1, tenant.keys.account),
    'take from one IP': () => limiter.take({ ip: addresses[0]! }),
    'take, 15 IPs in turn': (caller) => limiter.take({ ip: addresses[caller % (IPS - 1)]! }),
    'take that is denied': () => limiter.take({ ip: warming }),
    'take from a pool of 16': () => limiter.take({ pool: 'pool' }),
    peek: () => limiter.peek({ ip: addresses[0]! }),
  };
  const figures = new Map<string, Map<number, number[]>>(Object.keys(calls).map((name) => [name, new Map()]));
  const total = ROUNDS * IN_FLIGHT.length * figures.size;
  let done = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const inFlight of IN_FLIGHT) {
      for (const [name, call] of Object.entries(calls)) {
        const rates = figures.get(name)!;
        rates.set(inFlight, [...(rates.get(inFlight) ?? []), await rate(call, inFlight, SLICE_MS)]);
        done += 1;
        step(done, total);
      }
    }
  }
  await stage.close();

  const noops = figures.get('no-op script')!;
  return [...figures].map(([name, rates]) => ({
    name,
    at: IN_FLIGHT.map((inFlight) => ({
      inFlight,
      perSecond: Math.round(median(rates.get(inFlight)!)),
      // The median of the ratios of each round, not the ratio of the medians: what shook a round shook both.
      ratioToNoop: median(rates.get(inFlight)!.map((value, round) => value / noops.get(inFlight)![round]!)),
    })),
  }));
}
