import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tickUntilDone } from '../../src/fleet/tick.ts';
import { HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { bookOf, table } from '../support/fleet.ts';
import { LIBFAKETIME, startFakedFleet } from './faked-clock.ts';
import { startSenders } from './senders.ts';

/**
 * Edges of hours and days on the clock of Redis itself, passed by four live senders. The instants of the edges are written
 * out here, as a calendar on the wall has them, and what was granted is added up by when it was granted.
 */
describe.skipIf(LIBFAKETIME.because !== undefined)('on the clock of Redis', () => {
  const DAILY = [300, 400, 500, 600];
  const HOURLY = 120;
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  const at = (iso: string) => Date.parse(iso);
  /** A warm-up that starts now, and how late it is: its days and hours begin by so much after the instants below. */
  async function startAt(iso: string, plan: string, zone: string) {
    const { fleet, clock } = faked;
    clock.set(at(iso));
    const { address, warmup } = await fleet.warming({ plan, zone });
    return { senders: await startSenders(fleet, clock, address), lateMs: warmup!.startedAtMs - at(iso) };
  }
  let faked: Awaited<ReturnType<typeof startFakedFleet>>;
  beforeAll(async () => {
    const book = bookOf(table('days', 'daily', DAILY), table('hours', 'hourly', Array(10).fill(HOURLY)));
    faked = await startFakedFleet(at('2026-02-01T00:00:00Z'), book);
  });
  afterAll(() => faked?.stop());

  test('is the time that the engine goes by', async () => {
    for (const iso of ['2026-03-01T10:00:00Z', '2028-02-29T10:00:00Z', '2026-02-01T10:00:00Z']) {
      faked.clock.set(at(iso));
      expect(Math.abs((await faked.fleet.now()) - at(iso))).toBeLessThan(500);
    }
  });

  // Each row: when the warm-up starts and where, and the edges of its days. `not` is an instant at which none begins although
  // 24 hours after the start (or after midnight) one would, if nobody had moved the clocks on the wall.
  test.each([
    ['a day in UTC', 'UTC', '2026-03-10T09:00:00Z', ['2026-03-11T09:00:00Z', '2026-03-12T09:00:00Z'], null],
    ['23 hours', 'Europe/Berlin', '2026-03-28T09:00:00Z', ['2026-03-29T08:00:00Z'], null],
    ['25 hours', 'Europe/Berlin', '2026-10-24T08:00:00Z', ['2026-10-25T09:00:00Z'], '2026-10-25T08:00:00Z'],
    ['23.5 hours', 'Australia/Lord_Howe', '2026-10-02T23:30:00Z', ['2026-10-03T23:00:00Z'], null],
    [
      '24.5 hours',
      'Australia/Lord_Howe',
      '2026-04-03T23:00:00Z',
      ['2026-04-04T23:30:00Z'],
      '2026-04-04T23:00:00Z',
    ],
    [
      'a leap day',
      'Europe/Berlin',
      '2028-02-27T23:00:00Z',
      ['2028-02-28T23:00:00Z', '2028-02-29T23:00:00Z'],
      null,
    ],
  ] as const)(
    '%s (%s): each day has all of its own sends and none of another, from its first moment on',
    async (_, zone, start, edges, not) => {
      const { fleet, clock } = faked;
      const { senders, lateMs } = await startAt(start, 'days', zone);
      // Some at the beginning of the day, the rest until it is over.
      await senders.run(30);
      await senders.drain();
      expect(senders.book.total).toBe(DAILY[0]);

      if (not !== null) {
        clock.set(at(not) + lateMs - 150);
        await senders.run(400);
        expect(senders.book.total).toBe(DAILY[0]);
      }
      let from = at(start) + lateMs;
      for (const [index, iso] of edges.entries()) {
        const edge = at(iso) + lateMs;
        clock.set(edge - 200);
        await senders.run(400);
        await senders.drain();
        expect(senders.book.total).toBe(sum(DAILY.slice(0, index + 2)));
        const today = senders.book.between(edge, edge + HOUR_MS);
        // The first answers of the day may have been asked for in the last millisecond of the one before.
        expect(today.surely + today.perhaps).toBe(DAILY[index + 1]);
        expect(senders.book.between(from, edge).surely).toBeLessThanOrEqual(DAILY[index]!);
        const first = senders.book.entries.find(({ givenAt }) => givenAt >= edge)!;
        expect(first.givenAt - edge).toBeLessThan(1_000);
        from = edge;
        await tickUntilDone(fleet.engine);
      }
    },
  );

  // The wall clock in Berlin springs at the first, falls at the second of these instants: both are edges of an hour of the day.
  test.each([
    ['an ordinary hour', 'UTC', '2026-03-10T09:00:00Z', '2026-03-10T14:00:00Z', HOUR_MS],
    ['the hour that is skipped', 'Europe/Berlin', '2026-03-28T09:00:00Z', '2026-03-29T01:00:00Z', HOUR_MS],
    ['the hour that comes twice', 'Europe/Berlin', '2026-10-24T08:00:00Z', '2026-10-25T01:00:00Z', HOUR_MS],
    [
      'the half hour at the end of a day',
      'Australia/Lord_Howe',
      '2026-10-02T23:30:00Z',
      '2026-10-03T22:30:00Z',
      HOUR_MS / 2,
    ],
    ['the last hour of February', 'UTC', '2028-02-29T00:00:00Z', '2028-02-29T23:00:00Z', HOUR_MS],
  ] as const)('%s: it has its whole cap, so has the one before, and none more', async (...row) => {
    const [, zone, start, edge, lengthMs] = row;
    const { clock } = faked;
    const { senders, lateMs } = await startAt(start, 'hours', zone);
    const opens = at(edge) + lateMs;
    clock.set(opens - HOUR_MS);
    await senders.drain();
    expect(senders.book.total).toBe(HOURLY);

    // The bucket has filled again while the hour ran out: nothing before the edge, almost all of it at once after it.
    clock.set(opens - 200);
    await senders.run(400);
    await senders.drain();
    const atOnce = senders.book.total - HOURLY;
    expect(atOnce).toBeGreaterThanOrEqual(HOURLY - 2);
    expect(senders.book.between(opens - HOUR_MS, opens).surely).toBe(HOURLY);

    clock.set(opens + lengthMs - 5 * MINUTE_MS);
    await senders.drain();
    const { surely, perhaps } = senders.book.between(opens, opens + lengthMs);
    expect(surely + perhaps).toBe(HOURLY);
    clock.set(opens + lengthMs - 200);
    await senders.run(400);
    expect(senders.book.total).toBeGreaterThan(2 * HOURLY);
    expect(senders.book.between(opens, opens + lengthMs).surely).toBeLessThanOrEqual(HOURLY);
  });
});
