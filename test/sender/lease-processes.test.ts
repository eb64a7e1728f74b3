/**
 * Leases of many processes at once, which are killed, cut off, and overtaken by edges of time and by changes of the quota:
 * never over, and books that balance to the send.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { holdIp, resumeIp, setCeiling } from '../../src/fleet/ips.ts';
import { addIpToPool, createPool } from '../../src/fleet/pools.ts';
import type { LeaseOptions } from '../../src/sender/index.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts';
import { bookOf, type Fleet, MONDAY, startFleet, table } from '../support/fleet.ts';
import { eventually, killPrograms, type Program, startProgram } from '../support/processes.ts';
import type { Job, Told } from './fixtures/leaser.ts';

const LEASER = new URL('./fixtures/leaser.ts', import.meta.url);
/** Most sends that one call grants here. A lease holds two such grants, and one more may be on its way. */
const SIZE = 100;
const MOST_LOST = 3 * SIZE;

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmline-leases-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(killPrograms);

/** A process that leases, and what it has delivered, which outlives it. */
type Leaser = { program: Program; file: string; isAlive: boolean };

const say = ({ program }: Leaser, line: string) => program.child.stdin!.write(`${line}\n`);

async function startLeasers(urls: readonly string[], clock: 'test' | 'real'): Promise<Leaser[]> {
  const all = urls.map((url) => ({ program: startProgram(LEASER, [url, clock]), file: '', isAlive: true }));
  for (const { program } of all) expect(await program.line()).toBe('ready');
  return all;
}

/** Opens a lease in each of them and lets it spend at once. */
async function lease(
  leasers: readonly Leaser[],
  request: LeaseOptions,
  { perTurn = 16, pauseMs = 1, paceMs = 0 }: Partial<Job> = {},
): Promise<void> {
  for (const leaser of leasers) {
    leaser.file = join(folder, `${files++}`);
    const job: Job = { request: { size: SIZE, ...request }, file: leaser.file, perTurn, pauseMs, paceMs };
    say(leaser, JSON.stringify(job));
  }
}

function deliveredBy({ file }: Leaser): Map<string, number> {
  const sums = new Map<string, number>();
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // Nothing yet.
  }
  // A line that a kill cut off in its middle has no end.
  for (const line of text.split('\n').slice(0, -1)) {
    const ip = line.split(' ')[0]!;
    sums.set(ip, (sums.get(ip) ?? 0) + 1);
  }
  return sums;
}
const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0);
const delivered = (leasers: readonly Leaser[], ip?: DedicatedIp) =>
  sum(leasers.map((one) => (ip ? (deliveredBy(one).get(ip.address) ?? 0) : sum(deliveredBy(one).values()))));

async function kill(leaser: Leaser): Promise<void> {
  leaser.program.child.kill('SIGKILL');
  leaser.isAlive = false;
  expect(await leaser.program.ended).toBe('SIGKILL');
}

/** Those that live give back what they hold; each of them has delivered what its lease says. */
async function stop(leasers: readonly Leaser[]): Promise<Told[]> {
  const alive = leasers.filter(({ isAlive }) => isAlive);
  for (const leaser of alive) say(leaser, 'stop');
  const all: Told[] = [];
  for (const leaser of alive) {
    const told = JSON.parse(await leaser.program.line()) as Told;
    expect(told.stats.spent).toBe(delivered([leaser]));
    expect(told.stats.granted).toBe(told.stats.spent + told.stats.returned);
    all.push(told);
  }
  return all;
}

const counterOf = async ({ limiter }: Fleet, { address, id }: DedicatedIp) =>
  (await limiter.look(address, id)).counter!.state;
const usedToday = async (fleet: Fleet, ips: readonly DedicatedIp[]) =>
  sum(await Promise.all(ips.map(async (ip) => (await counterOf(fleet, ip)).dayUsed)));

/** One IP, or a pool of three, and how a lease names it. */
async function targetOf(
  fleet: Fleet,
  what: 'IP' | 'pool',
  make: () => Promise<DedicatedIp>,
): Promise<{ ips: DedicatedIp[]; request: LeaseOptions }> {
  if (what === 'IP') {
    const ip = await make();
    return { ips: [ip], request: { ip: ip.address } };
  }
  await createPool(fleet.tenant, { name: 'pool' });
  const ips = [await make(), await make(), await make()];
  for (const { id } of ips) await addIpToPool(fleet.tenant, 'pool', id);
  return { ips, request: { pool: 'pool' } };
}

describe('a day that all of them want to use up, while some are killed and connections break', () => {
  const CAP = 12_000;
  let fleet: Fleet;
  let proxy: CuttingProxy;
  afterEach(async () => {
    proxy.stop();
    await fleet.stop();
  });

  test.each([
    [4, 'IP', 1],
    [8, 'IP', 2],
    [4, 'pool', 1],
    [8, 'pool', 2],
  ] as const)('%i processes on one %s, %i killed', async (count, what, kills) => {
    fleet = await startFleet({ clock: 'real', book: bookOf(table('cap', 'daily', [CAP])) });
    proxy = await startCuttingProxy(fleet.server.port);
    const { ips, request } = await targetOf(fleet, what, () => fleet.warming({ plan: 'cap' }));
    const cap = CAP * ips.length;
    const urls = Array.from({ length: count }, (_, index) => (index % 2 ? proxy.url : fleet.server.url));
    const leasers = await startLeasers(urls, 'real');
    await lease(leasers, request);

    let cuts = 0;
    const cutOff = () => {
      proxy.loseNextAnswer();
      cuts += 1;
    };
    for (const part of [0.2, 0.4, 0.6]) {
      await eventually(
        `${part} of it is used`,
        async () => (await usedToday(fleet, ips)) >= part * cap,
        30_000,
      );
      if (part === 0.4) for (const victim of leasers.slice(0, kills)) await kill(victim);
      else cutOff();
    }
    await eventually('all of it is used', async () => (await usedToday(fleet, ips)) >= 0.999 * cap, 30_000);
    await stop(leasers);

    const used = await usedToday(fleet, ips);
    expect(used).toBeGreaterThanOrEqual(0.99 * cap);
    for (const ip of ips) {
      const { dayUsed } = await counterOf(fleet, ip);
      expect(dayUsed).toBeLessThanOrEqual(CAP);
      expect(delivered(leasers, ip)).toBeLessThanOrEqual(dayUsed);
    }
    // What was granted and neither delivered nor given back: held by those killed, or in an answer that was lost.
    const lost = used - delivered(leasers);
    expect(lost).toBeGreaterThanOrEqual(0);
    expect(lost).toBeLessThanOrEqual(kills * MOST_LOST + cuts * SIZE);
  });
});

test('ten senders share the 50 sends of day 1: each gets its part, and all are used', async () => {
  const fleet = await startFleet({ clock: 'real' });
  try {
    const leasers = await startLeasers(Array(10).fill(fleet.server.url), 'real');
    for (let run = 1; run <= 5; run += 1) {
      const ip = await fleet.warming({ plan: 'fourteen-day' });
      await lease(leasers, { ip: ip.address });
      await eventually('all are delivered', () => delivered(leasers) === 50);
      await stop(leasers);
      expect((await counterOf(fleet, ip)).dayUsed).toBe(50);
      for (const one of leasers) {
        expect(delivered([one])).toBeGreaterThanOrEqual(3);
        expect(delivered([one])).toBeLessThanOrEqual(7);
      }
    }
  } finally {
    await fleet.stop();
  }
});

test.each(['IP', 'pool'] as const)(
  'edges of hours and days pass while four processes spend one %s; each hour and each day has its own sends',
  async (what) => {
    const fleet = await startFleet();
    try {
      const { ips, request } = await targetOf(fleet, what, () => fleet.warming());
      const leasers = await startLeasers(Array(4).fill(fleet.server.url), 'test');
      await lease(leasers, request);
      for (const perIp of [20, 40, 50]) {
        await eventually(`${perIp} of each IP`, () => delivered(leasers) === perIp * ips.length);
        await fleet.advance({ hours: 1 });
      }
      // Nothing more on this day. On the next the bucket has what it held at the end of this one, 20 of 28.
      for (let hour = 4; hour <= 24; hour += 4) await fleet.advance({ hours: hour === 4 ? 1 : 4 });
      expect(await fleet.now()).toBe(MONDAY + 24 * HOUR_MS);
      await eventually('some of day 2', () => delivered(leasers) > 55 * ips.length);
      await kill(leasers[0]!);
      await eventually('all of the hour', async () => (await usedToday(fleet, ips)) === 20 * ips.length);
      await stop(leasers);
      for (const ip of ips) {
        const { sent, counter } = await fleet.limiter.look(ip.address, ip.id);
        expect(sent.days).toEqual([{ fromMs: MONDAY, sends: 50 }]);
        expect(sent.hours.map(({ sends }) => sends)).toEqual([20, 20, 10]);
        expect(counter!.state.dayUsed).toBeLessThanOrEqual(20);
      }
      const granted = 50 * ips.length + (await usedToday(fleet, ips));
      const lost = granted - delivered(leasers);
      expect(lost).toBeGreaterThanOrEqual(0);
      expect(lost).toBeLessThanOrEqual(10 * ips.length);
      for (const ip of ips) expect(delivered(leasers, ip)).toBeLessThanOrEqual(70);
    } finally {
      await fleet.stop();
    }
  },
);

describe('eight processes in full swing', () => {
  let fleet: Fleet;
  let leasers: Leaser[];
  beforeEach(async () => {
    fleet = await startFleet({ clock: 'real' });
    leasers = await startLeasers(Array(8).fill(fleet.server.url), 'real');
  });
  afterEach(() => fleet.stop());

  test('keep to ceilings that change under way', async () => {
    const { ips, request } = await targetOf(fleet, 'pool', () => fleet.bring({ status: 'active' }));
    const [lowered, raised, reached] = ips as [DedicatedIp, DedicatedIp, DedicatedIp];
    await lease(leasers, request, { pauseMs: 5, paceMs: 2 });
    await eventually('they are in full swing', () => ips.every((ip) => delivered(leasers, ip) > 200));
    const low = (await counterOf(fleet, lowered)).dayUsed + 1_000;
    await setCeiling(fleet.tenant, lowered.id, { perDay: low });
    for (const { id } of [raised, reached]) await setCeiling(fleet.tenant, id, { perDay: 1 });
    await eventually('the lower one is used up', () => delivered(leasers, lowered) === low, 30_000);
    const high = (await counterOf(fleet, raised)).dayUsed + 1_000;
    await setCeiling(fleet.tenant, raised.id, { perDay: high });
    await eventually('so is the higher one', () => delivered(leasers, raised) === high, 30_000);
    await stop(leasers);
    for (const ip of ips) expect(delivered(leasers, ip)).toBe((await counterOf(fleet, ip)).dayUsed);
    expect(delivered(leasers, lowered)).toBe(low);
    expect(delivered(leasers, raised)).toBe(high);
  });

  test('stop within a second of a hold, and go on when it is over', async () => {
    const ip = await fleet.bring({ status: 'active' });
    await lease(leasers, { ip: ip.address, size: 10_000 }, { perTurn: 4, pauseMs: 5, paceMs: 20 });
    await eventually('they are in full swing', () => delivered(leasers) > 1_000);
    await holdIp(fleet.tenant, ip.id, { sending: true, advance: false, because: 'stop', untilMs: null });
    const heldAtMs = Date.now();
    // By then what was held is over, and back.
    await eventually('the books agree', async () => {
      const { dayUsed } = await counterOf(fleet, ip);
      return Date.now() > heldAtMs + 1_500 && dayUsed === delivered(leasers);
    });
    const atTheHold = delivered(leasers);
    const told = await stop(leasers);
    expect(delivered(leasers)).toBe(atTheHold);
    const lastMs = Math.max(...told.map(({ lastAtMs }) => lastAtMs[ip.address] ?? 0));
    expect(lastMs).toBeGreaterThan(0);
    // And the machine may be slow to tell the time of a send.
    expect(lastMs - heldAtMs).toBeLessThanOrEqual(1_000 + 100);

    await lease(leasers, { ip: ip.address });
    await resumeIp(fleet.tenant, ip.id);
    await eventually('all of them send again', () => leasers.every((one) => delivered([one]) > 0));
    await stop(leasers);
    expect((await counterOf(fleet, ip)).dayUsed).toBe(atTheHold + delivered(leasers));
  });
});
