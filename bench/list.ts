/**
 * What does a page cost at 1 000 IPs and at 100 000? By creation (v1) and by address (v3), from the middle of the account,
 * where whoever scans or counts has done half of it.
 */
import { ipsByRank, pageByAddress } from '../src/fleet/by-address.ts';
import { pageOfIps } from '../src/fleet/ips.ts';
import { itemFor } from '../src/fleet/save.ts';
import { transact } from '../src/redis/transact.ts';
import { create } from '../src/warmup/decide.ts';
import { median, openStage } from './stage.ts';

const START_MS = Date.parse('2026-01-10T10:00:00Z');
const ROUNDS = 31;
const LIMIT = 100;

const addressOf = (number: number) => `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;

export async function benchList(sizes: readonly number[], step: (done: number, total: number) => void) {
  const results: { name: string; at: { ips: number; milliseconds: number }[] }[] = [];
  const work = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  for (const size of sizes) {
    const stage = await openStage(START_MS);
    const { tenant } = stage;
    for (let at = 0; at < size; at += 500) {
      const items = Array.from({ length: Math.min(500, size - at) }, (_, index) => {
        const number = at + index;
        const given = { id: `ip_bench${number}`, address: addressOf(number), leased: true };
        const plain = { region: null, hostname: null, bind: null, status: 'active' as const };
        const made = create({ ...given, ...plain }, START_MS + number, 'bench');
        return itemFor(tenant, null, made, null, START_MS);
      });
      await transact(stage.scripts, tenant.account, items, { whole: false });
      done += items.length;
      step(done, work);
    }
    const middle = Math.floor(size / 2);
    const never = () => false;
    const pages: [name: string, page: () => Promise<unknown>][] = [
      [
        'v1, by creation',
        () =>
          pageOfIps(tenant, { limit: LIMIT, after: { atMs: START_MS + middle, id: `ip_bench${middle}` } }),
      ],
      ['v3, by address', () => pageByAddress(tenant, { limit: LIMIT, after: addressOf(middle) })],
      ['v3, backwards', () => pageByAddress(tenant, { limit: LIMIT, before: addressOf(middle) })],
      ['v3, by rank', () => ipsByRank(tenant, { offset: middle, limit: LIMIT })],
      ['v3, a filter that fits none', () => pageByAddress(tenant, { limit: LIMIT, wanted: never })],
    ];
    for (const [name, page] of pages) {
      const milliseconds = await medianOf(page);
      const result = results.find((one) => one.name === name) ?? { name, at: [] };
      if (result.at.length === 0) results.push(result);
      result.at.push({ ips: size, milliseconds });
    }
    await stage.close();
  }
  return results;
}

async function medianOf(page: () => Promise<unknown>): Promise<number> {
  const taken: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const beganAt = performance.now();
    await page();
    taken.push(performance.now() - beganAt);
  }
  return median(taken);
}
