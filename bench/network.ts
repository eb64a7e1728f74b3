/** A take with a network in between: a millisecond there and back, and the append-only file on. What is added is what counts. */
import { openLimiters } from './limiter.ts';
import { type Contender, runRounds, timedLoop } from './measure.ts';
import { type Part, withClosing } from './part.ts';
import { openPeers } from './peers.ts';
import { startChild } from './processes.ts';
import { ratesOf } from './report.ts';
import { addWarmingIps, openStage } from './stage.ts';

const ONE_WAY_MS = 0.5;
const IPS = 1_000;

export const network: Part = {
  title: 'a take with 1 ms of network and the append-only file',
  inAll: false,
  run: (options) =>
    withClosing(async (closing) => {
      const stage = await openStage({ appendOnly: true });
      closing(stage.close);
      const addresses = (await addWarmingIps(stage.tenant, IPS)).map(({ address }) => address);
      const proxy = startChild('slow-network', 'redis');
      closing(proxy.stop);
      const url = await proxy.ask<string>({ port: stage.port, oneWayMs: ONE_WAY_MS });
      const limiters = await openLimiters({ ...stage, url });
      closing(limiters.close);
      const limiter = limiters.of(stage.tenant.account);
      const peers = await openPeers(url, addresses);
      closing(peers.close);

      const take = (turn: number) => limiter.take({ ip: addresses[turn % IPS]! });
      const contender = (
        name: string,
        inFlight: number,
        call: (turn: number) => Promise<unknown>,
      ): Contender => ({
        name: `${name}, ${inFlight} in flight`,
        run: (forMs) => timedLoop(call, inFlight, forMs),
      });
      const groups = [1, 64, 512].map((inFlight) => [
        contender('N', inFlight, peers.noop),
        contender('R', inFlight, peers.flexible),
        contender('take', inFlight, take),
      ]);
      // Long slices: the 99th percentile of one in flight needs some hundred calls.
      const found = await runRounds(groups, { ...options, sliceMs: options.sliceMs * 2 });
      const rows = groups.flat().flatMap(({ name }) => [
        { figure: `${name}, p50`, measured: found.p50Ms(name), unit: 'ms' },
        { figure: `${name}, p99`, measured: found.p99Ms(name), unit: 'ms' },
      ]);
      return { rows, rates: ratesOf(found) };
    }),
};
