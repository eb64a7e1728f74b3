/**
 * What a page of IPs costs with 1 000 and with 100 000 of them: over HTTP in the v1 dialect, and by address as the v3
 * dialect reads them; from the middle of the account, where whoever scans or counts has done half of it.
 */
import { pino } from 'pino';
import { replaceEnvironmentKey } from '../src/fleet/api-keys.ts';
import { ipsByRank, pageByAddress } from '../src/fleet/by-address.ts';
import { cursorAfter } from '../src/http/cursor.ts';
import { createApi } from '../src/http/server.ts';
import { API_KEY } from './http.ts';
import { type Contender, runRounds, timedLoop } from './measure.ts';
import { type Closing, type Part, withClosing } from './part.ts';
import { ratesOf, short } from './report.ts';
import { addressOf, addWarmingIps, openStage } from './stage.ts';

const SMALL = 1_000;
const LARGE = 100_000;
const LIMIT = 100;

export const list: Part = {
  title: 'a page of 100 IPs, whatever their number',
  inAll: false,
  run: (options) =>
    withClosing(async (closing) => {
      const large = options.quick ? LARGE / 10 : LARGE;
      const [few, many] = [await pagesOf(SMALL, closing), await pagesOf(large, closing)];
      const found = await runRounds(
        few.map((page, index) => [page, many[index]!]),
        options,
      );
      return {
        rows: few.map(({ name }, index) => ({
          figure: `${name.split(', among')[0]}, among ${short(large)}`,
          measured: found.ratio(many[index]!.name, name),
          unit: `of the speed among ${short(SMALL)}`,
        })),
        rates: ratesOf(found),
      };
    }),
};

async function pagesOf(ips: number, closing: Closing): Promise<Contender[]> {
  const stage = await openStage({ testClockMs: Date.UTC(2026, 0, 10, 10) });
  closing(stage.close);
  await replaceEnvironmentKey(stage.engine, API_KEY);
  const app = await createApi({ engine: stage.engine, log: pino({ level: 'silent' }) });
  closing(() => app.close());
  const { tenant, redis } = stage;
  await addWarmingIps(tenant, ips);

  const middle = Math.floor(ips / 2);
  const behind = async (rank: number) => {
    const [id, createdAtMs] = await redis.zrange(tenant.keys.ips, String(rank), String(rank), 'WITHSCORES');
    return `&cursor=${cursorAfter(Number(createdAtMs), id!)}`;
  };
  const v1 = async (query: string) => {
    const url = `/v1/dedicated-ips?limit=${LIMIT}${query}`;
    const answer = await app.inject({ url, headers: { authorization: `Bearer ${API_KEY}` } });
    if (answer.statusCode !== 200) throw new Error(answer.body);
  };
  const [fromMiddle, last] = [await behind(middle), await behind(ips - LIMIT - 1)];
  const pages: Record<string, () => Promise<unknown>> = {
    'v1, first': () => v1(''),
    'v1, middle': () => v1(fromMiddle),
    'v1, last': () => v1(last),
    'v1, a label that few have': () => v1('&label=team:nobody'),
    'v3, by address': () => pageByAddress(tenant, { limit: LIMIT, after: addressOf(middle) }),
    'v3, backwards': () => pageByAddress(tenant, { limit: LIMIT, before: addressOf(middle) }),
    'v3, by rank': () => ipsByRank(tenant, { offset: middle, limit: LIMIT }),
    'v3, a filter that fits none': () => pageByAddress(tenant, { limit: LIMIT, wanted: () => false }),
  };
  return Object.entries(pages).map(([name, page]) => ({
    name: `${name}, among ${short(ips)}`,
    run: (forMs) => timedLoop(page, 1, forMs),
  }));
}
