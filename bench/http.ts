/** Takes over HTTP, beside a handler of the same framework that answers the same bytes without deciding anything. */
import { replaceEnvironmentKey } from '../src/fleet/api-keys.ts';
import { type Contender, median, runRounds, type Sample, scaled } from './measure.ts';
import { type Closing, type Part, withClosing } from './part.ts';
import { type Child, startChild } from './processes.ts';
import { type Row, ratesOf, short } from './report.ts';
import { addWarmingIps, openStage } from './stage.ts';

export const API_KEY = 'wl_bench_0123456789abcdef';
const CONNECTIONS = 64;
const BATCH = 100;
const BATCH_CONNECTIONS = 16;
const WARM_MS = 2_000;

export const http: Part = {
  title: 'takes over HTTP beside a handler that answers a constant',
  inAll: true,
  run: (options) =>
    withClosing(async (closing) => {
      const load = startChild('load', 'redis');
      closing(load.stop);
      const without = await startApi(false, closing);
      const withFile = await startApi(true, closing);
      const { addresses } = without;

      const path = '/v1/quota/take';
      const bodies = addresses.map((ip) => JSON.stringify({ ip }));
      const answer = await ask(without.url, path, bodies[0]!);
      const batches = Array.from({ length: addresses.length / BATCH }, (_, index) =>
        JSON.stringify({ takes: addresses.slice(index * BATCH, (index + 1) * BATCH).map((ip) => ({ ip })) }),
      );
      const constant = startChild('api', 'client');
      closing(constant.stop);
      const constantUrl = await constant.ask<string>({ role: 'constant', answer });

      const loads = new Map<string, number[]>();
      const contender = (
        name: string,
        { url, process: server, redisCpuUs = async () => 0 }: Server,
        some: readonly string[],
        connections: number,
      ): Contender => ({
        name,
        async run(forMs) {
          const cpuUs = () => Promise.all([server.ask<number>({ role: 'cpu' }), redisCpuUs()]);
          const [serverBefore, redisBefore] = await cpuUs();
          const question = { url: url + path, bodies: some, connections, key: API_KEY, forMs };
          const { busy, ...sample } = await load.ask<Sample & { calls: number; busy: number }>(question);
          const [serverAfter, redisAfter] = await cpuUs();
          loads.set(name, [...(loads.get(name) ?? []), busy]);
          const clientUs = (serverAfter - serverBefore) / sample.calls;
          return { ...sample, clientUs, redisUs: (redisAfter - redisBefore) / sample.calls };
        },
      });
      const group = [
        contender('constant', { url: constantUrl, process: constant }, bodies, CONNECTIONS),
        contender('take', without, bodies, CONNECTIONS),
        contender('take, with the append-only file', withFile, bodies, CONNECTIONS),
        contender('batch', without, batches, BATCH_CONNECTIONS),
        contender('batch, with the append-only file', withFile, batches, BATCH_CONNECTIONS),
      ];
      // A server is judged as it is after some ten thousand requests, and the larger one needs more of them to get there.
      for (const { run } of group) await run(options.quick ? WARM_MS / 4 : WARM_MS);
      // A look is long enough for its percentiles only when the slice is.
      const found = await runRounds([group], { ...options, sliceMs: options.sliceMs * 2 });

      const rows: Row[] = [
        {
          figure: `POST ${path}, ${CONNECTIONS} connections`,
          measured: found.ratio('take', 'constant'),
          unit: 'of constant',
          mark: { wanted: 0.9, stretch: 0.95 },
        },
        {
          figure: `POST ${path}, with the append-only file`,
          measured: found.ratio('take, with the append-only file', 'take'),
          unit: 'of without',
          mark: { wanted: 0.9, stretch: 0.95 },
        },
        {
          figure: `the same, ${BATCH} takes in one request`,
          measured: scaled(found.ratio('batch', 'constant'), BATCH),
          unit: 'decisions per constant request',
          mark: { wanted: 20, stretch: 40 },
        },
        {
          figure: `the same, ${BATCH} takes in one request, with the file`,
          measured: found.ratio('batch, with the append-only file', 'batch'),
          unit: 'of without',
          mark: { wanted: 0.9, stretch: 0.95 },
        },
      ];
      const shares = [...loads].map(([name, busy]) => `${short(100 * median(busy))} % for "${name}"`);
      return {
        rows,
        rates: ratesOf(found),
        notes: [`The load generator used of its core, which it shares with Redis: ${shares.join(', ')}.`],
      };
    }),
};

type Server = { url: string; process: Child; redisCpuUs?: () => Promise<number> };

async function startApi(appendOnly: boolean, closing: Closing) {
  const stage = await openStage({ appendOnly });
  closing(stage.close);
  await replaceEnvironmentKey(stage.engine, API_KEY);
  const ips = await addWarmingIps(stage.tenant, 1_000);
  const api = startChild('api', 'client');
  closing(api.stop);
  return {
    url: await api.ask<string>({ role: 'api', redisUrl: stage.url }),
    process: api,
    redisCpuUs: stage.redisCpuUs,
    addresses: ips.map(({ address }) => address),
  };
}

async function ask(url: string, path: string, body: string): Promise<string> {
  const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
  const answer = await fetch(url + path, { method: 'POST', headers, body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`POST ${path} answers ${answer.status}: ${text.slice(0, 200)}`);
  return text;
}
