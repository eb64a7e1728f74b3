/** What every part needs: a Redis of its own, pinned to a core where that is possible, and a fleet on it. */
import { rmSync } from 'node:fs';
import { createAccount, DEFAULT_ACCOUNT, ensureDefaultAccount } from '../src/fleet/accounts.ts';
import { openDatabase } from '../src/fleet/database.ts';
import { type Engine, nowOf, randomId, type Tenant, tenantOf } from '../src/fleet/engine.ts';
import { itemFor } from '../src/fleet/save.ts';
import { connect } from '../src/redis/connect.ts';
import { createScripts } from '../src/redis/scripts.ts';
import { transact } from '../src/redis/transact.ts';
import { loadSchedules } from '../src/runtime/schedules.ts';
import { create, startWarmup } from '../src/warmup/decide.ts';
import { buildPlan, planDigest, type ScheduleBook } from '../src/warmup/plan.ts';
import { DAY_MS } from '../src/warmup/units.ts';
import { startRedisServer } from '../test/support/redis-server.ts';
import { pin } from './processes.ts';

/** Warms up like any other IP, with a day, an hour and a bucket that are counted and never reached. */
export const ROOMY_PLAN = 'roomy-days+roomy-hours';
const ROOMY = 1_000_000_000;
/** 100 000 sends a second come into its bucket, which is fewer than are asked for. */
export const DRIPPING_PLAN = 'roomy-days+dripping-hours';
const DRIPPING = 360_000_000;

async function loadBook(): Promise<ScheduleBook> {
  const about = { title: 'roomy', source: 'made up: whoever measures takes wants them granted' };
  return new Map([
    ...(await loadSchedules()),
    ['roomy-days', { ...about, id: 'roomy-days', daily: [{ day: 1, dailyLimit: ROOMY }] }],
    ['roomy-hours', { ...about, id: 'roomy-hours', hourly: [{ ageDays: 0, hourlyCap: ROOMY }] }],
    ['dripping-hours', { ...about, id: 'dripping-hours', hourly: [{ ageDays: 0, hourlyCap: DRIPPING }] }],
  ]);
}

export type Stage = Awaited<ReturnType<typeof openStageOn>>;

/** What an interrupted run leaves behind; its servers end by themselves. */
const folders = new Set<string>();
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** @param testClockMs `null` runs on the clock of Redis, as in production */
export async function openStage({
  testClockMs = null,
  appendOnly = false,
}: {
  testClockMs?: number | null;
  appendOnly?: boolean;
} = {}): Promise<Stage> {
  const config = appendOnly ? ['--appendonly', 'yes', '--appendfsync', 'everysec'] : [];
  const server = await startRedisServer({ config });
  folders.add(server.dir);
  const pinned = pin(server.pid, 'redis') && pin(process.pid, 'client');
  return openStageOn(server.url, {
    testClockMs,
    pinned,
    port: server.port,
    async stop() {
      await server.stop();
      folders.delete(server.dir);
    },
  });
}

/** On a Redis, or a cluster, that is there already. */
export async function openStageOn(
  url: string,
  {
    testClockMs = null,
    pinned = false,
    port = 0,
    stop = async () => {},
  }: { testClockMs?: number | null; pinned?: boolean; port?: number; stop?: () => Promise<void> } = {},
) {
  const redis = await connect(url);
  const { testClock } = await openDatabase(redis, testClockMs);
  const scripts = createScripts(redis, { testClock });
  const engine: Engine = { scripts, book: await loadBook(), cooldownMs: 30 * DAY_MS, newId: randomId };
  await ensureDefaultAccount(engine);
  return {
    url,
    port,
    pinned,
    redis,
    scripts,
    engine,
    tenant: tenantOf(engine, DEFAULT_ACCOUNT, 'bench'),
    /** CPU time that Redis has used so far, in µs. */
    async redisCpuUs() {
      const used = (await redis.info('cpu')).matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm);
      return [...used].reduce((sum, [, seconds]) => sum + Number(seconds) * 1e6, 0);
    },
    async account(name: string): Promise<Tenant> {
      return tenantOf(engine, await createAccount(engine, name), 'bench');
    },
    async close() {
      redis.disconnect();
      await stop();
    },
  };
}

const AT_ONCE = 250;

export const addressOf = (number: number) =>
  `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;

/** Many IPs that warm up since now, faster than one request each. */
export async function addWarmingIps(
  tenant: Tenant,
  count: number,
  {
    plan: planName = ROOMY_PLAN,
    burst = null,
    startDay = 1,
    firstAddress = 0,
    onBatch = () => {},
  }: {
    plan?: string;
    burst?: number | null;
    startDay?: number;
    firstAddress?: number;
    onBatch?: (count: number) => void;
  } = {},
): Promise<{ id: string; address: string }[]> {
  const { engine, keys, account } = tenant;
  const plan = buildPlan(planName, engine.book);
  await engine.scripts.redis.set(keys.plan(planDigest(plan)), JSON.stringify(plan));
  const nowMs = await nowOf(engine);
  const options = { zone: 'UTC', burst, dayStartsAt: 'start', startDay };
  const added: { id: string; address: string }[] = [];
  for (let at = 0; at < count; at += AT_ONCE) {
    const items = Array.from({ length: Math.min(AT_ONCE, count - at) }, (_, index) => {
      const given = {
        id: engine.newId('ip'),
        address: addressOf(firstAddress + at + index),
        region: null,
        hostname: null,
        bind: null,
        leased: true,
      };
      added.push({ id: given.id, address: given.address });
      const made = create({ ...given, status: 'provisioning' }, nowMs, 'bench');
      const begun = startWarmup(made.ip, plan, options, nowMs, 'bench');
      return itemFor(
        tenant,
        null,
        { ip: begun.ip, changes: [...made.changes, ...begun.changes] },
        plan,
        nowMs,
      );
    });
    const applied = await transact(engine.scripts, account, items, { whole: false });
    if (applied.includes(false)) throw new Error('an IP could not be added');
    onBatch(items.length);
  }
  return added;
}
