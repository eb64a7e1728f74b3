/**
 * A whole engine for one test file: a Redis of its own, the fleet on a clock that the test moves, and what a test asks of
 * it most. Nothing is mocked; what is left out is only the queue and the HTTP.
 */

import fourteenDay from '../../schedules/fourteen-day.ts';
import type { WarmupSchedule } from '../../schedules/schedule.ts';
import sendgridHourly from '../../schedules/sendgrid-hourly.ts';
import { createAccount, DEFAULT_ACCOUNT, ensureDefaultAccount } from '../../src/fleet/accounts.ts';
import { openDatabase } from '../../src/fleet/database.ts';
import { type Engine, nowOf, randomId, type Tenant, tenantOf } from '../../src/fleet/engine.ts';
import { bringIps, createIp } from '../../src/fleet/inventory.ts';
import { type StartRequest, startWarmup } from '../../src/fleet/ips.ts';
import { advanceTo } from '../../src/fleet/test-clock.ts';
import type { TickResult } from '../../src/fleet/tick.ts';
import { connect, type RedisConnection } from '../../src/redis/connect.ts';
import { clockKeys } from '../../src/redis/keys.ts';
import { createLimiter, type Limiter } from '../../src/redis/limiter.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import { createSender, type Sender } from '../../src/sender/index.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import type { ScheduleBook } from '../../src/warmup/plan.ts';
import { DAY_MS, HOUR_MS } from '../../src/warmup/units.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

/** A Monday, 09:00 in UTC, three weeks before clocks change in Europe. */
export const MONDAY = Date.UTC(2026, 2, 2, 9);

export const bookOf = (...schedules: WarmupSchedule[]): ScheduleBook =>
  new Map([fourteenDay, sendgridHourly, ...schedules].map((schedule) => [schedule.id, schedule]));

/** Daily limits or hourly caps as a schedule: `table('tiny', 'daily', [2, 3, null])`. */
export function table(
  id: string,
  kind: 'daily' | 'hourly',
  limits: readonly (number | null)[],
): WarmupSchedule {
  const about = { id, title: id, source: 'made up for a test' };
  return kind === 'daily'
    ? { ...about, daily: limits.map((dailyLimit, index) => ({ day: index + 1, dailyLimit })) }
    : { ...about, hourly: limits.map((hourlyCap, ageDays) => ({ ageDays, hourlyCap })) };
}

/** An account with what tests do to it. */
export interface House {
  readonly tenant: Tenant;
  readonly limiter: Limiter;
  /** The next address that nobody has yet, brought by the account: 10.0.0.1, 10.0.0.2, ... or 2001:db8::1, ... */
  bring(options?: { status?: 'provisioning' | 'active'; family?: 4 | 6 }): Promise<DedicatedIp>;
  /** Many at once. */
  bringMany(count: number, status: 'provisioning' | 'active'): Promise<DedicatedIp[]>;
  /** One more IP, warming up since now. */
  warming(request?: StartRequest, family?: 4 | 6): Promise<DedicatedIp>;
  /** One from the inventory. */
  create(): Promise<DedicatedIp>;
}

export interface Fleet extends House {
  readonly server: RedisServer;
  readonly redis: RedisConnection;
  readonly engine: Engine;
  now(): Promise<number>;
  /** Puts the test clock at an instant, also an earlier one, as if no worker ran. */
  setClock(ms: number): Promise<void>;
  /** Moves the test clock and does what falls due on the way: `{ days: 14 }`; `work: false` does nothing. */
  advance(by: { days?: number; hours?: number; ms?: number; work?: boolean }): Promise<TickResult['changes']>;
  /** A second engine on a connection of its own, as another process has. */
  anotherEngine(): Promise<Engine>;
  sender(options?: { url?: string; account?: string }): Promise<Sender>;
  /** An account of its own, for a test that must not meet the others. */
  house(name?: string): Promise<House>;
  /**
   * Everything in Redis, key by key with its content, to compare before and after; but for which Redis it is, written by
   * whoever asks first after `reset` has forgotten it.
   */
  dump(): Promise<Record<string, string>>;
  /** Forgets everything and begins anew at the same instant, for the next of many random histories. */
  reset(): Promise<void>;
  stop(): Promise<void>;
}

/** @param clock an instant for a test clock, `'real'` for the clock of Redis */
export async function startFleet(
  given: {
    clock?: number | 'real';
    book?: ScheduleBook;
    cooldownMs?: number;
    config?: readonly string[];
    through?: readonly string[];
  } = {},
): Promise<Fleet> {
  const { clock = MONDAY, book = bookOf(), cooldownMs = 30 * DAY_MS, config = [], through = [] } = given;
  const server = await startRedisServer({ config, through });
  const redis = await connect(server.url);
  const { testClock } = await openDatabase(redis, clock === 'real' ? null : clock);
  const closing: (() => unknown)[] = [() => redis.disconnect()];

  const engineOn = (connection: RedisConnection): Engine => ({
    scripts: createScripts(connection, { testClock }),
    book,
    cooldownMs,
    newId: randomId,
  });
  const engine = engineOn(redis);
  await ensureDefaultAccount(engine);

  let addresses = 0;
  const nextAddress = (family: 4 | 6) => {
    addresses += 1;
    return family === 4
      ? `10.${addresses >> 16}.${(addresses >> 8) & 255}.${addresses & 255}`
      : `2001:db8::${addresses.toString(16)}`;
  };
  const houseOf = (tenant: Tenant): House => {
    const house: House = {
      tenant,
      limiter: createLimiter(engine.scripts, tenant.account),
      async bring({ status = 'provisioning', family = 4 } = {}) {
        const [ip] = await bringIps(tenant, { addresses: [nextAddress(family)], status });
        return ip!;
      },
      async bringMany(count, status) {
        const fresh = Array.from({ length: count }, () => nextAddress(4));
        const brought: DedicatedIp[] = [];
        // As many as one request may bring.
        for (let at = 0; at < count; at += 256) {
          brought.push(...(await bringIps(tenant, { addresses: fresh.slice(at, at + 256), status })));
        }
        return brought;
      },
      async warming(request = {}, family = 4) {
        return startWarmup(tenant, (await house.bring({ family })).id, request);
      },
      create: () => createIp(tenant),
    };
    return house;
  };

  let houses = 0;
  const now = () => nowOf(engine);
  return {
    ...houseOf(tenantOf(engine, DEFAULT_ACCOUNT, 'test')),
    server,
    redis,
    engine,
    now,
    setClock: async (ms) => void (await redis.set(clockKeys.now, String(ms))),
    async advance({ days = 0, hours = 0, ms = 0, work = true }) {
      return advanceTo(engine, (await now()) + days * DAY_MS + hours * HOUR_MS + ms, { work });
    },
    async anotherEngine() {
      const connection = await connect(server.url);
      closing.push(() => connection.disconnect());
      return engineOn(connection);
    },
    async sender({ url = server.url, account = 'default' } = {}) {
      const sender = await createSender({ redisUrl: url, account, testClock });
      closing.push(() => sender.close());
      return sender;
    },
    async house(name) {
      houses += 1;
      const { id, parentId } = await createAccount(engine, name ?? `house-${houses}`);
      return houseOf(tenantOf(engine, { id, parentId }, 'test'));
    },
    async dump() {
      const keys = (await redis.keys('*')).filter((key) => !key.endsWith(':awake')).sort();
      const values = await Promise.all(keys.map((key) => redis.dumpBuffer(key)));
      return Object.fromEntries(keys.map((key, index) => [key, values[index]!.toString('base64')]));
    },
    async reset() {
      await redis.flushall();
      await openDatabase(redis, clock === 'real' ? null : clock);
      await ensureDefaultAccount(engine);
      addresses = 0;
    },
    async stop() {
      for (const close of closing) await close();
      await server.stop();
    },
  };
}
