import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { calendarDayAt, dayBeginsAt } from '../../src/warmup/calendar.ts';
import { buildPlan, DEFAULT_PLAN } from '../../src/warmup/plan.ts';
import { projectPlan } from '../../src/warmup/projection.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { bookOf } from '../support/fleet.ts';
import { type Api, ok, startApi } from './support.ts';

describe('without a test clock', () => {
  let api: Api;
  beforeAll(async () => {
    api = await startApi({ clock: 'real' });
  });
  afterAll(() => api.stop());

  test('there is none to read and none to move', async () => {
    for (const answer of [
      await api.ask('GET', '/v1/test-clock'),
      await api.ask('POST', '/v1/test-clock/advance', { by: 'P1D' }),
    ]) {
      expect(ok(answer, 409).error).toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('WARMLINE_TEST_CLOCK'),
      });
    }
  });
});

describe('with a test clock', () => {
  let api: Api;
  beforeAll(async () => {
    api = await startApi();
  });
  afterAll(() => api.stop());

  async function warming(address: string, start: object = {}) {
    ok(await api.ask('POST', '/v1/inventory', { addresses: [address], account: 'default' }), 201);
    return ok(await api.ask('POST', `/v1/dedicated-ips/${address}/warmup`, start));
  }
  const advance = async (body: object) => ok(await api.ask('POST', '/v1/test-clock/advance', body));
  const now = async () => Date.parse(ok(await api.ask('GET', '/v1/test-clock')).now);

  test('P1D without work: the new day starts on time all the same', async () => {
    await warming('192.0.2.1', { plan: 'fourteen-day' });
    ok(await api.ask('POST', '/v1/quota/take', { ip: '192.0.2.1', count: 50 }));
    const { changes } = await advance({ by: 'P1D', work: false });
    expect(changes).toEqual([]);
    const ip = ok(await api.ask('GET', '/v1/dedicated-ips/192.0.2.1'));
    expect(ip.warmup).toMatchObject({
      currentDay: 2,
      currentDailyLimit: 100,
      usedToday: 0,
      remainingToday: 100,
    });
    const take = ok(await api.ask('POST', '/v1/quota/take', { ip: '192.0.2.1', count: 100 }));
    expect(take).toMatchObject({ allowed: true, limit: 100, remaining: 0 });
  });

  test('a fortnight without work: what was published last goes on, and it is not active', async () => {
    await warming('192.0.2.2', { plan: 'fourteen-day' });
    await advance({ by: 'P20D', work: false });
    const late = ok(await api.ask('GET', '/v1/dedicated-ips/192.0.2.2'));
    expect(late).toMatchObject({
      status: 'warming',
      warmup: { currentDay: 14, currentDailyLimit: 100, progress: 1 },
    });
    expect(ok(await api.ask('POST', '/v1/quota/take', { ip: '192.0.2.2', count: 101 })).allowed).toBe(false);
    const { changes } = await advance({ by: 'PT0S' });
    expect(changes.filter(({ ip }: { ip: string }) => ip === '192.0.2.2')).toMatchObject([
      { from: 'warming', to: 'active' },
    ]);
  });

  test('two who move it at once move it twice, one after the other', async () => {
    const before = await now();
    const answers = await Promise.all(Array.from({ length: 5 }, () => advance({ by: 'PT1H' })));
    expect(answers.map((answer) => Date.parse(answer.now))).toEqual(
      Array.from({ length: 5 }, (_, n) => before + (n + 1) * HOUR_MS),
    );
  });

  test('the end of a hold on the way is done at its instant, and listed', async () => {
    await warming('192.0.2.3', { plan: 'fourteen-day' });
    const startMs = await now();
    const until = new Date(startMs + 3 * 24 * HOUR_MS).toISOString();
    ok(await api.ask('POST', '/v1/dedicated-ips/192.0.2.3/hold', { because: 'a holiday', until }));
    const { changes } = await advance({ by: 'P5D' });
    expect(changes.filter(({ ip }: { ip: string }) => ip === '192.0.2.3')).toEqual([
      {
        ip: '192.0.2.3',
        ipId: expect.any(String),
        what: 'hold',
        from: expect.objectContaining({ because: 'a holiday', until: until.replace('.000', '') }),
        to: null,
        because: 'the hold reached its end',
        by: 'engine',
      },
    ]);
    expect(ok(await api.ask('GET', '/v1/dedicated-ips/192.0.2.3')).warmup.currentDay).toBe(4);
  });

  test('days that turn in the night keep to the wall clock', async () => {
    const ip = await warming('192.0.2.4', { zone: 'Europe/Berlin', dayStartsAt: '04:00', startDay: 5 });
    expect(ip.warmup).toMatchObject({
      currentDay: 5,
      startDay: 5,
      dayStartsAt: '04:00',
      zone: 'Europe/Berlin',
    });
    const calendar = {
      startedAtMs: Date.parse(ip.warmup.startedAt),
      zone: 'Europe/Berlin',
      dayStartsAt: '04:00',
    };
    expect(Date.parse(ip.warmup.completesAt)).toBe(dayBeginsAt(calendar, 11));
  });
});

// Clocks go forward in Europe on 29 March 2026 and back on 25 October: a day has 23 hours, another 25. What the dry run
// prints is what the API then does, hour by hour.
const STARTS = [
  ['02:30, which the next day does not have', '2026-03-28T01:30:00Z', 'Europe/Berlin', 23],
  ['02:30, which the next day has twice', '2026-10-24T00:30:00Z', 'Europe/Berlin', 25],
  ['the first 02:30 of the day that has two', '2026-10-25T00:30:00Z', 'Europe/Berlin', 25],
  ['the second one', '2026-10-25T01:30:00Z', 'Europe/Berlin', 24],
  ['the last millisecond before the gap', '2026-03-29T00:59:59.999Z', 'Europe/Berlin', 24],
  ['half an hour is left out', '2026-10-03T15:15:00Z', 'Australia/Lord_Howe', 23.5],
] as const;

describe.each(STARTS)('a start at %s', (_, start, zone, oddHours) => {
  test('has the days of the dry run, whatever the plan', async () => {
    const api = await startApi({ clock: Date.parse(start) });
    const moveTo = async (atMs: number) =>
      ok(await api.ask('POST', '/v1/test-clock/advance', { to: new Date(atMs).toISOString() }));
    ok(await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.0/31'], account: 'default' }), 201);
    const plans = ['fourteen-day', DEFAULT_PLAN];
    const runs = await Promise.all(
      plans.map(async (plan, index) => {
        const address = `192.0.2.${index}`;
        const path = `/v1/dedicated-ips/${address}`;
        const { warmup } = ok(await api.ask('POST', `${path}/warmup`, { zone, plan }));
        const calendar = { startedAtMs: Date.parse(warmup.startedAt), zone, dayStartsAt: 'start' };
        const projection = projectPlan({ plan: buildPlan(plan, bookOf()), calendar });
        expect(Date.parse(warmup.completesAt)).toBe(projection.completesAtMs);
        return { address, path, calendar, days: projection.days };
      }),
    );
    const days = runs[0]!.days.slice(0, 3);
    expect(days.map((day) => (day.endsAtMs - day.beginsAtMs) / HOUR_MS)).toContain(oddHours);

    // The first days hour by hour, among them the odd one; at both ends of each hour everything that there is.
    for (const [index, { beginsAtMs, endsAtMs }] of days.entries()) {
      const sent = runs.map(() => 0);
      for (let hourMs = beginsAtMs; hourMs < endsAtMs; hourMs += HOUR_MS) {
        for (const atMs of new Set([hourMs, Math.min(hourMs + HOUR_MS, endsAtMs) - 1])) {
          await moveTo(atMs);
          for (const [which, { address, path, calendar, days }] of runs.entries()) {
            const look = ok(await api.ask('GET', `${path}/quota`));
            expect(look.day).toMatchObject({ limit: days[index]!.dailyLimit ?? -1, used: sent[which] });
            expect(Date.parse(look.day.from)).toBe(beginsAtMs);
            expect(Date.parse(look.day.resetsAt)).toBe(endsAtMs);
            const asked = { ip: address, count: 1_000, partial: true };
            sent[which]! += ok(await api.ask('POST', '/v1/quota/take', asked)).granted[0]?.count ?? 0;
            const day = ok(await api.ask('GET', path)).warmup.currentDay;
            expect(day).toBe(calendarDayAt(calendar, atMs));
          }
        }
      }
      expect(sent).toEqual(runs.map((run) => run.days[index]!.sendable));
    }
    const completesAtMs = runs[0]!.days.at(-1)!.endsAtMs;
    await moveTo(completesAtMs - 1);
    for (const { path } of runs) expect(ok(await api.ask('GET', path)).status).toBe('warming');
    const { changes } = await moveTo(completesAtMs);
    expect(changes.map(({ ip, to }: { ip: string; to: string }) => [ip, to]).sort()).toEqual(
      runs.map(({ address }) => [address, 'active']),
    );
    await api.stop();
  });
});
