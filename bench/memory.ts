/** What a warming IP takes up in Redis, key by key and all in all, after two weeks of sending in every hour of the last two days. */
import { advanceTo } from '../src/fleet/test-clock.ts';
import { tickUntilDone } from '../src/fleet/tick.ts';
import { createSender } from '../src/sender/index.ts';
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
const [LEASED, HOLDERS] = [50, 2];
/** The record of what was sent, `warmline:{acct_...}:sent:<ip id>`. */
const SENT = 'sent';

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

      const kinds = await bytesByKind(stage, ips);
      const sent = kinds.get(SENT) ?? ips.map(() => 0);
      kinds.delete(SENT);
      const own = ips.map((_, index) => [...kinds.values()].reduce((sum, bytes) => sum + bytes[index]!, 0));
      const all = own.map((bytes, index) => bytes + sent[index]!);
      const rows: Row[] = [...kinds].map(([kind, bytes]) => ({
        figure: `of these "${kind}"`,
        measured: spreadOf(bytes),
        unit: 'B',
      }));
      const leased = ips.slice(0, LEASED);
      for (const _ of Array(HOLDERS)) {
        const sender = await createSender({ redisUrl: stage.url, testClock: true });
        closing(sender.close);
        await Promise.all(leased.map(({ address }) => sender.lease({ ip: address }).take()));
      }
      const whileLeased = await bytesByKind(stage, leased);
      for (const kind of [SENT, ...kinds.keys()]) whileLeased.delete(kind);
      const forLeases = leased.map((_, index) =>
        [...whileLeased.values()].reduce((sum, bytes) => sum + bytes[index]!, 0),
      );
      const perIp = (bytes: number) => spreadOf([bytes / count]);
      return {
        rows: [
          {
            figure: 'all keys of an IP but what was sent',
            measured: spreadOf(own),
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
          {
            figure: `more while ${HOLDERS} senders lease from it`,
            measured: spreadOf(forLeases),
            unit: 'B',
          },
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

/** Every key that ends in the id or the address of an IP is its own: its name in the account, and its bytes for each IP. */
async function bytesByKind(
  { redis, tenant: { keys } }: Stage,
  ips: readonly { id: string; address: string }[],
): Promise<Map<string, number[]>> {
  const indexOf = new Map(
    ips.flatMap(({ id, address }, index) => [[id, index] as const, [address, index] as const]),
  );
  const owned = (await redis.keys(`${keys.prefix}*`)).flatMap((key) => {
    const name = key.slice(keys.prefix.length);
    const colon = name.indexOf(':');
    const index = indexOf.get(name.slice(colon + 1));
    return index === undefined ? [] : [{ key, kind: name.slice(0, colon), index }];
  });
  const pipeline = redis.pipeline();
  for (const { key } of owned) pipeline.memory('USAGE', key, 'SAMPLES', 0);
  const answers = (await pipeline.exec()) ?? [];
  const kinds = new Map<string, number[]>();
  for (const [at, { kind, index }] of owned.entries()) {
    const bytes = kinds.get(kind) ?? ips.map(() => 0);
    kinds.set(kind, bytes);
    bytes[index] = Number(answers[at]![1]);
  }
  return kinds;
}

const usedMemory = async ({ redis }: Stage) =>
  Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
