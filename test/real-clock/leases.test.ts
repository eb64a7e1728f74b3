import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { holdIp } from '../../src/fleet/ips.ts';
import { HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import type { Job, Told } from '../sender/fixtures/leaser.ts';
import { bookOf, table } from '../support/fleet.ts';
import { eventually, killPrograms, type Program, startProgram } from '../support/processes.ts';
import { LIBFAKETIME, startFakedFleet } from './faked-clock.ts';

/** Four processes that spend leases while the hour of Redis's clock turns, and while that clock is set. */
describe.skipIf(LIBFAKETIME.because !== undefined)('leases of four processes', () => {
  const LEASER = new URL('../sender/fixtures/leaser.ts', import.meta.url);
  const CAP = 2_000;
  let faked: Awaited<ReturnType<typeof startFakedFleet>>;
  let folder: string;
  let programs: Program[];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'warmline-leases-'));
    const book = bookOf(
      table('hours', 'hourly', Array(10).fill(CAP)),
      table('days', 'daily', Array(10).fill(CAP)),
    );
    faked = await startFakedFleet(Date.parse('2026-03-29T00:00:00Z'), book);
    programs = [1, 2, 3, 4].map(() => startProgram(LEASER, [faked.fleet.server.url, 'real']));
    for (const program of programs) expect(await program.line()).toBe('ready');
  });
  afterAll(async () => {
    killPrograms();
    await faked?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  let run = 0;
  const fileOf = (index: number) => join(folder, `${run}-${index}`);
  const say = (line: (index: number) => string) =>
    programs.forEach((program, index) => void program.child.stdin!.write(`${line(index)}\n`));
  const spend = (ip: string, job: Partial<Job>) => {
    run += 1;
    say((index) =>
      JSON.stringify({
        ...{ request: { ip, size: 200 }, file: fileOf(index), perTurn: 4, pauseMs: 1, paceMs: 1 },
        ...job,
      } satisfies Job),
    );
  };
  /** When each send was spent, by the clock of the machine. */
  const spent = () =>
    programs.flatMap((_, index) => {
      let text = '';
      try {
        text = readFileSync(fileOf(index), 'utf8');
      } catch {
        // Nothing yet.
      }
      const lines = text.split('\n').slice(0, -1);
      return lines.map((line) => line.split(' ').slice(2).map(Number) as [begun: number, done: number]);
    });
  /** They give back what they hold, and nothing is missing in their books. */
  async function stop(): Promise<void> {
    say(() => 'stop');
    for (const program of programs) {
      const { stats } = JSON.parse(await program.line()) as Told;
      expect(stats.granted).toBe(stats.spent + stats.returned);
    }
  }

  test('what was taken in an hour is not spent in the next one, and each hour has all of its own', async () => {
    const { fleet, clock } = faked;
    const ip = await fleet.warming({ plan: 'hours', zone: 'Europe/Berlin' });
    // In Berlin the wall clock springs at this instant.
    const opens = ip.warmup!.startedAtMs + HOUR_MS;
    clock.set(opens - 2_000);
    const aheadMs = clock.now() - Date.now();
    spend(ip.address, { perTurn: 2, paceMs: 10 });
    await eventually('the hour has turned', () => clock.now() > opens + 300);
    const inFirst = spent().filter(([begun]) => begun + aheadMs < opens).length;
    expect(inFirst).toBeGreaterThan(20);
    expect(spent().length).toBeGreaterThan(inFirst);
    await stop();
    // When the bucket is full again: the rest of the hour.
    clock.set(opens + 58 * MINUTE_MS);
    const sender = await fleet.sender();
    const { granted } = await sender.take({ ip: ip.address, count: CAP, partial: true });
    const rest = granted.reduce((sum, { count }) => sum + count, 0);
    const inSecond = (at: (one: [number, number]) => number) =>
      spent().filter((one) => at(one) + aheadMs >= opens).length;
    // Exactly the cap; a send that was spent while the hour turned belongs to either.
    expect(inSecond(([begun]) => begun) + rest).toBeLessThanOrEqual(CAP);
    expect(inSecond(([, done]) => done) + rest).toBeGreaterThanOrEqual(CAP);
  });

  test.each([
    ['3 hours forward', 3 * HOUR_MS],
    ['50 minutes forward', 50 * MINUTE_MS],
    ['3 hours back', -3 * HOUR_MS],
  ])(
    '%s, and a hold: what was held is spent for a second more at most, and the books agree',
    async (_, ms) => {
      const { fleet, clock } = faked;
      clock.step(20 * HOUR_MS);
      const ip = await fleet.warming({ plan: 'days' });
      clock.step(4 * HOUR_MS);
      spend(ip.address, { perTurn: 1, paceMs: 20 });
      await eventually('all of them spend', () => spent().length > 50);
      await holdIp(fleet.tenant, ip.id, { sending: true, advance: false, because: 'stop', untilMs: null });
      clock.step(ms);
      const steppedAt = Date.now();
      await eventually('more than a second has passed', () => Date.now() > steppedAt + 1_300);
      await stop();
      const last = Math.max(...spent().map(([begun]) => begun));
      expect(last - steppedAt).toBeLessThanOrEqual(1_000);
      // All that was held came back to its day.
      const { counter } = await fleet.limiter.look(ip.address, ip.id);
      expect(counter!.state.dayUsed).toBe(spent().length);
    },
  );
});
