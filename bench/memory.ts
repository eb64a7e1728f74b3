/** What a warming IP takes up in Redis, key by key and all in all, after two weeks of sending in every hour of the last two days. */
import { advanceTo } from '../src/fleet/test-clock.ts';
import { tickUntilDone } from '../src/fleet/tick.ts';
import { DAY_MS, HOUR_MS } from '../src/warmup/units.ts';
import { openLimiters } from './limiter.ts';
import { spreadOf } from './measure.ts';
import { type Part, withClosing } from './part.ts';
import type { Row } from './report.ts';
import { addWarmingIps, openStage, type Stage } from './stage.ts';

const START_MS = Date.parse('2026-01-10T00:00:00Z');
const IPS = 2_000;
const DAYS = 12;
const HOURS = 50;

export const memory: Part = {
  title: 'Redis memory of a warming IP',
  inAll: true,
  run: ({ quick, step }) =>
    withClosing(async (closing) => {
      const stage = await openStage({ testClockMs: START_MS });
      closing(stage.close);
      const { tenant, engine } = stage;
      const limiters = await openLimiters(stage, true);
      closing(limiters.close);
      const limiter = limiters.of(tenant.account);
      const count = quick ? IPS / 10 : IPS;
      const before = await usedMemory(stage);
      const ips = await addWarmingIps(tenant, count, { plan: 'fourteen-day+sendgrid-hourly' });
      const added = await usedMemory(stage);

      const steps = DAYS + HOURS;
      for (let at = 0; at < steps; at += 1) {
        const sent = Math.min(at, DAYS) * DAY_MS + Math.max(0, at - DAYS) * HOUR_MS;
        await advanceTo(engine, START_MS + sent, { work: false });
        await tickUntilDone(engine);
        await Promise.all(ips.map(({ address }) => limiter.take({ ip: address })));
        step(at + 1, steps + 1);
      }
      const after = await usedMemory(stage);

      const { keys } = tenant;
      const own: Record<string, (ip: { id: string; address: string }) => string> = {
        'its record': ({ id }) => keys.ip(id),
        'its counter (hot record)': ({ address }) => keys.hot(address),
        'its published quota': ({ address }) => keys.quota(address),
        'its last changes': ({ id }) => keys.history(id),
        'its credited receipts': ({ id }) => keys.refunded(id),
      };
      const bytesOf = async (keyOf: (ip: { id: string; address: string }) => string) => {
        const pipeline = stage.redis.pipeline();
        for (const ip of ips) pipeline.memory('USAGE', keyOf(ip), 'SAMPLES', 0);
        return ((await pipeline.exec()) ?? []).map(([, bytes]) => Number(bytes ?? 0));
      };
      const sums = ips.map(() => 0);
      const rows: Row[] = [];
      for (const [name, keyOf] of Object.entries(own)) {
        const bytes = await bytesOf(keyOf);
        for (const [index, one] of bytes.entries()) sums[index]! += one;
        rows.push({ figure: `of these ${name}`, measured: spreadOf(bytes), unit: 'B' });
      }
      const sent = await bytesOf(({ id }) => keys.sent(id));
      const all = sums.map((one, index) => one + sent[index]!);
      const perIp = (bytes: number) => spreadOf([bytes / count]);
      return {
        rows: [
          {
            figure: 'all keys of an IP but what was sent',
            measured: spreadOf(sums),
            unit: 'B',
            mark: { wanted: 1_024, stretch: 600, atMost: true },
          },
          ...rows,
          {
            figure: 'all keys of an IP with what was sent',
            measured: spreadOf(all),
            unit: 'B',
            mark: { wanted: 1_434, stretch: 1_024, atMost: true },
          },
          { figure: 'of these what was sent, 48 hours and the days', measured: spreadOf(sent), unit: 'B' },
          { figure: 'Redis grew by, for each IP added', measured: perIp(added - before), unit: 'B' },
          { figure: 'Redis grew by, for each IP after its days', measured: perIp(after - before), unit: 'B' },
          {
            figure: 'of that indexes, stream and the rest that IPs share',
            measured: perIp(after - before - all.reduce((sum, one) => sum + one, 0)),
            unit: 'B',
          },
        ],
      };
    }),
};

const usedMemory = async ({ redis }: Stage) =>
  Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
