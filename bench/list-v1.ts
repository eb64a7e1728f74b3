/**
 * What a page of `GET /v1/dedicated-ips` costs with 1 000 IPs and with 100 000: the first page, one in the middle, the last,
 * and one of a filter that matches little. Read the ratios; the figures belong to the machine and the hour.
 *
 *     node --import tsx bench/list-v1.ts
 *     node --import tsx bench/list-v1.ts 1000 20000
 *     node --import tsx bench/list-v1.ts --json
 */
import Table from 'cli-table3';
import { pino } from 'pino';
import { replaceEnvironmentKey } from '../src/fleet/api-keys.ts';
import { bringIps } from '../src/fleet/inventory.ts';
import { cursorAfter } from '../src/http/cursor.ts';
import { createApi } from '../src/http/server.ts';
import { median, openStage } from './stage.ts';

const KEY = 'wl_bench_0123456789abcdef';
const ROUNDS = 15;
const AT_ONCE = 250;

type Costs = Record<'first' | 'middle' | 'last' | 'one label', number>;

async function costOf(ips: number): Promise<Costs> {
  const stage = await openStage(Date.UTC(2026, 0, 10, 10));
  await replaceEnvironmentKey(stage.engine, KEY);
  const app = await createApi({ engine: stage.engine, log: pino({ level: 'silent' }) });
  try {
    const created: { id: string; createdAtMs: number }[] = [];
    for (let from = 0; from < ips; from += AT_ONCE) {
      const addresses = Array.from({ length: Math.min(AT_ONCE, ips - from) }, (_, index) => {
        const n = from + index;
        return `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
      });
      created.push(...(await bringIps(stage.tenant, { addresses, status: 'active' })));
    }
    // As the list has them: by creation, then by id.
    created.sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
    const behind = (index: number) =>
      `&cursor=${cursorAfter(created[index]!.createdAtMs, created[index]!.id)}`;
    const queries: Record<keyof Costs, string> = {
      first: '',
      middle: behind(Math.floor(ips / 2)),
      last: behind(ips - 101),
      'one label': '&label=team:nobody',
    };
    const costs: Costs = { first: 0, middle: 0, last: 0, 'one label': 0 };
    for (const name of Object.keys(queries) as (keyof Costs)[]) {
      const rounds: number[] = [];
      for (let round = -3; round < ROUNDS; round += 1) {
        const beganAt = performance.now();
        const answer = await app.inject({
          url: `/v1/dedicated-ips?limit=100${queries[name]}`,
          headers: { authorization: `Bearer ${KEY}` },
        });
        if (answer.statusCode !== 200) throw new Error(answer.body);
        if (round >= 0) rounds.push(performance.now() - beganAt);
      }
      costs[name] = median(rounds);
    }
    return costs;
  } finally {
    await app.close();
    await stage.close();
  }
}

const words = process.argv.slice(2);
const given = words.map(Number).filter((size) => Number.isInteger(size) && size >= 200);
const [few = 1_000, many = 100_000] = given;
// Once for nothing: the first to run would pay for the compiler.
await costOf(few);
const [small, large] = [await costOf(few), await costOf(many)];

if (words.includes('--json')) console.log(JSON.stringify({ [few]: small, [many]: large }, null, 2));
else {
  const table = new Table({
    head: ['page of 100', `${few} IPs`, `${many} IPs`, 'ratio'],
    style: { head: [], border: [] },
  });
  for (const name of Object.keys(small) as (keyof Costs)[]) {
    table.push([
      name,
      `${small[name].toFixed(1)} ms`,
      `${large[name].toFixed(1)} ms`,
      (large[name] / small[name]).toFixed(2),
    ]);
  }
  console.log(`${table}\nmedians of ${ROUNDS} rounds`);
}
