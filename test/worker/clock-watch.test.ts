import { expect, test } from 'vitest';
import { endWarmup, getIp, setCeiling } from '../../src/fleet/ips.ts';
import { lookAtAllAgain, tickUntilDone } from '../../src/fleet/tick.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { watchClock } from '../../src/worker/clock-watch.ts';
import { MONDAY, startFleet } from '../support/fleet.ts';

/** Two clocks that a test moves: the one of Redis and one that never steps. */
function clocks() {
  const at = { redisMs: MONDAY, steadyMs: 0 };
  const lines: string[] = [];
  const log = {
    error: (_fields: unknown, text?: string) => void lines.push(String(text)),
    info: (text: unknown) => void lines.push(String(text)),
  };
  const check = watchClock(
    log as never,
    async () => at.redisMs,
    () => at.steadyMs,
  );
  const pass = (ms: number, steppedMs = 0) => {
    at.steadyMs += ms;
    at.redisMs += ms + steppedMs;
  };
  return { check, lines, pass };
}

test('a clock that runs is trusted, and nothing is said', async () => {
  const { check, lines, pass } = clocks();
  for (let minute = 0; minute < 100; minute += 1) {
    expect(await check()).toEqual({ steppedMs: 0, trusted: true });
    pass(MINUTE_MS, 40); // a drift of 40 ms a minute is no step
  }
  expect(lines).toEqual([]);
});

test('a small step forward is reported once, and the worker goes on', async () => {
  const { check, lines, pass } = clocks();
  await check();
  pass(MINUTE_MS, 10 * MINUTE_MS);
  expect(await check()).toEqual({ steppedMs: 10 * MINUTE_MS, trusted: true });
  pass(MINUTE_MS);
  expect(await check()).toEqual({ steppedMs: 0, trusted: true });
  expect(lines).toEqual([expect.stringContaining('stepped forward: windows opened early; check the clock')]);
});

test('after a jump ahead nothing is advanced for ten minutes, unless the clock is set right before', async () => {
  const { check, lines, pass } = clocks();
  await check();
  pass(MINUTE_MS, 400 * DAY_MS);
  expect(await check()).toMatchObject({ trusted: false });
  pass(9 * MINUTE_MS);
  expect(await check()).toMatchObject({ trusted: false });
  pass(MINUTE_MS);
  expect(await check()).toMatchObject({ trusted: true });
  expect(lines.at(-1)).toContain('advanced again');

  pass(MINUTE_MS, 400 * DAY_MS);
  expect(await check()).toMatchObject({ trusted: false });
  pass(MINUTE_MS, -400 * DAY_MS);
  expect(await check()).toMatchObject({ steppedMs: -400 * DAY_MS, trusted: true });
  expect(lines.at(-1)).toContain('stepped back');
});

test('an IP that was looked at on a clock 400 days ahead sends again the day after the clock was set right', async () => {
  const fleet = await startFleet();
  try {
    const ip = await fleet.warming();
    await endWarmup(fleet.tenant, ip.id);
    await setCeiling(fleet.tenant, ip.id, { perDay: 10, perHour: null });
    await fleet.setClock(MONDAY + 400 * DAY_MS);
    await tickUntilDone(fleet.engine);
    expect(await fleet.limiter.take({ ip: ip.id, count: 10 })).toMatchObject({ allowed: true });

    await fleet.setClock(MONDAY + HOUR_MS);
    await lookAtAllAgain(fleet.engine);
    await tickUntilDone(fleet.engine);
    // Mail of a day to come was sent on this one: it counts as used up.
    expect(await fleet.limiter.take({ ip: ip.id })).toMatchObject({ allowed: false });
    await fleet.setClock(MONDAY + DAY_MS + HOUR_MS);
    expect(await fleet.limiter.take({ ip: ip.id })).toMatchObject({ allowed: true });
    expect((await getIp(fleet.tenant, ip.id)).status).toBe('active');
  } finally {
    await fleet.stop();
  }
});
