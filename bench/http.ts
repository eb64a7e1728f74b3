/** Takes over HTTP, beside a handler of the same framework that answers the same bytes without deciding anything. */
import { replaceEnvironmentKey } from '../src/fleet/api-keys.ts';
import { type Contender, runRounds, type Sample, scaled } from './measure.ts';
import { type Closing, type Part, withClosing } from './part.ts';
import { startChild } from './processes.ts';
import { type Row, ratesOf } from './report.ts';
import { addWarmingIps, openStage } from './stage.ts';

export const API_KEY = 'wl_bench_0123456789abcdef';
const CONNECTIONS = 64;
const BATCH = 100;
const BATCH_CONNECTIONS = 16;

export const http: Part = {
  title: 'takes over HTTP beside a handler that answers a constant',
  inAll: true,
  run: (options) =>
    withClosing(async (closing) => {
      const load = startChild('load', 'redis');
      closing(load.stop);
      const { api, addresses } = await startApi(false, closing);
      const { api: apiWithFile } = await startApi(true, closing);

      const path = '/v1/quota/take';
      const bodies = addresses.map((ip) => JSON.stringify({ ip }));
      const answer = await ask(api, path, bodies[0]!);
      const batches = Array.from({ length: addresses.length / BATCH }, (_, index) =>
        JSON.stringify({ takes: addresses.slice(index * BATCH, (index + 1) * BATCH).map((ip) => ({ ip })) }),
      );
      const constant = startChild('api', 'client');
      closing(constant.stop);
      const constantAt = await constant.ask<string>({ role: 'constant', answer });

      const contender = (
        name: string,
        url: string,
        some: readonly string[],
        connections: number,
      ): Contender => ({
        name,
        run: (forMs) => load.ask<Sample>({ url, bodies: some, connections, key: API_KEY, forMs }),
      });
      const group = [
        contender('constant', constantAt + path, bodies, CONNECTIONS),
        contender('take', api + path, bodies, CONNECTIONS),
        contender('take, with the append-only file', apiWithFile + path, bodies, CONNECTIONS),
        contender('batch', api + path, batches, BATCH_CONNECTIONS),
        contender('batch, with the append-only file', apiWithFile + path, batches, BATCH_CONNECTIONS),
      ];
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
      return { rows, rates: ratesOf(found) };
    }),
};

async function startApi(appendOnly: boolean, closing: Closing) {
  const stage = await openStage({ appendOnly });
  closing(stage.close);
  await replaceEnvironmentKey(stage.engine, API_KEY);
  const ips = await addWarmingIps(stage.tenant, 1_000);
  const api = startChild('api', 'client');
  closing(api.stop);
  return {
    api: await api.ask<string>({ role: 'api', redisUrl: stage.url }),
    addresses: ips.map(({ address }) => address),
  };
}

async function ask(api: string, path: string, body: string): Promise<string> {
  const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
  const answer = await fetch(api + path, { method: 'POST', headers, body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`POST ${path} answers ${answer.status}: ${text.slice(0, 200)}`);
  return text;
}
