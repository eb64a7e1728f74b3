/** When will a campaign be done? Loads what an account or a pool is now, walks ahead on copies, and compares what else could be done. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { unpackFence, unpackHot } from '../redis/hot-record.ts';
import { NEW_COUNTER } from '../warmup/counter.ts';
import * as decide from '../warmup/decide.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';
import { conflict } from '../warmup/errors.ts';
import {
  type Forecast,
  type ForecastGate,
  type ForecastInput,
  type ForecastIp,
  forecast,
} from '../warmup/forecast.ts';
import { buildPlan, DEFAULT_PLAN, type Plan, planDigest } from '../warmup/plan.ts';
import { HOUR_MS } from '../warmup/units.ts';
import { loadIps, planOf, v3Plan } from './change.ts';
import { nowIn, type Tenant } from './engine.ts';
import { MOST_IPS_PER_POOL, type Pool } from './pool.ts';
import { getPool, membersOf } from './pools.ts';

/** More would take minutes. */
export const MOST_IPS = 10_000;
/** Whoever has ten thousand IPs and a year of mail hears how far was looked ahead. Clients wait for 30 s. */
const LONGEST_WALK_MS = 10_000;
const LONGEST_COMPARISONS_MS = 12_000;
const LOADED_AT_ONCE = 500;

export type ForecastRequest = {
  messages: number;
  pool?: string | undefined;
  /** When the first message is offered; now unless said. */
  startMs?: number | undefined;
  zone?: string | undefined;
  /** Also with so many new IPs. */
  addIps?: number | undefined;
  /** Also with another plan. */
  plan?: string | undefined;
};

export type Variant = { addIps: number; plan: string | null; forecast: Forecast };
export type Forecasts = {
  nowMs: number;
  startMs: number;
  zone: string;
  pool: Pool | null;
  forecast: Forecast;
  variants: Variant[];
};

/** @throws WarmlineError `not_found` for an unknown pool, `conflict` for too many IPs, `invalid` for an unknown plan */
export async function forecastCampaign(tenant: Tenant, request: ForecastRequest): Promise<Forecasts> {
  const { messages, addIps = 0 } = request;
  const { engine } = tenant;
  const named = request.plan === undefined ? null : buildPlan(request.plan, engine.book);
  const [nowMs, pool] = await Promise.all([nowIn(tenant), poolOf(tenant, request.pool)]);
  const [ips, gate] = await Promise.all([loadFleet(tenant, pool), pool && loadGate(tenant, pool)]);
  const zone = request.zone ?? commonZone(ips);
  const startMs = Math.max(nowMs, request.startMs ?? nowMs);
  const around = { messages, nowMs, startMs, zone, gate, planOfItself: v3Plan(engine) };

  const usual = commonPlan(ips) ?? buildPlan(DEFAULT_PLAN, engine.book);
  const added = (plan: Plan) =>
    Array.from({ length: addIps }, (_, index) => newIp(index + 1, plan, zone, nowMs));
  const inPool = pool ? MOST_IPS_PER_POOL : MOST_IPS;
  if (ips.length + addIps > inPool) throw tooMany(ips.length + addIps, inPool, pool);

  const wanted: { addIps: number; plan: string | null; ips: readonly ForecastIp[] }[] = [];
  if (addIps > 0) wanted.push({ addIps, plan: null, ips: [...ips, ...added(usual)] });
  if (named) {
    const replanned = ips.map((one) => withPlan(one, named));
    wanted.push({ addIps: 0, plan: named.name, ips: replanned });
    if (addIps > 0) wanted.push({ addIps, plan: named.name, ips: [...replanned, ...added(named)] });
  }
  const base = await walk({ ...around, ips }, LONGEST_WALK_MS);
  const forEachMs = LONGEST_COMPARISONS_MS / wanted.length;
  const variants: Variant[] = [];
  for (const one of wanted) {
    variants.push({
      addIps: one.addIps,
      plan: one.plan,
      forecast: await walk({ ...around, ips: one.ips }, forEachMs),
    });
  }
  return { nowMs, startMs, zone, pool, forecast: base, variants };
}

/** In parts, so that requests of others are answered in between. */
async function walk(input: ForecastInput, longestMs: number): Promise<Forecast> {
  const steps = forecast(input);
  const beganAt = performance.now();
  for (;;) {
    const step = steps.next(performance.now() - beganAt > longestMs);
    if (step.done) return step.value;
    await nextTurn();
  }
}

/** As a take chooses: the pool that is named, else the default pool, else all IPs of the account. */
async function poolOf(tenant: Tenant, named: string | undefined): Promise<Pool | null> {
  const { engine, keys } = tenant;
  const id = named ?? (await engine.scripts.redis.get(keys.defaultPool));
  return id === null ? null : getPool(tenant, id);
}

async function loadFleet(tenant: Tenant, pool: Pool | null): Promise<ForecastIp[]> {
  const { engine, keys } = tenant;
  const { redis } = engine.scripts;
  if (!pool) {
    const count = await redis.zcard(keys.ips);
    if (count > MOST_IPS) throw tooMany(count, MOST_IPS, pool);
  }
  const ids = pool
    ? await membersOf(tenant, pool.id)
    : await redis.zrange(keys.ips, '0', String(MOST_IPS - 1));
  const ips = (await loadIps(tenant, ids)).filter(
    ({ status }) => status !== 'cooldown' && status !== 'released',
  );
  const fence = unpackFence(await redis.getBuffer(keys.fence));
  const fleet: ForecastIp[] = [];
  for (let from = 0; from < ips.length; from += LOADED_AT_ONCE) {
    const some = ips.slice(from, from + LOADED_AT_ONCE);
    const hot = await redis.mgetBuffer(some.map(({ address }) => keys.hot(address)));
    for (const [index, ip] of some.entries()) {
      const raw = hot[index];
      const counter = raw ? unpackHot(raw, fence) : null;
      const state = counter?.texts.id === ip.id ? counter.state : NEW_COUNTER;
      fleet.push({ ip, plan: await planOf(tenant, ip), state });
    }
  }
  return fleet;
}

const tooMany = (count: number, most: number, pool: Pool | null) =>
  conflict(
    `a forecast looks at most at ${most} IPs ${pool ? 'of a pool' : 'of an account'}, and these are ${count}; ${pool ? 'add fewer' : 'name a pool'}`,
    { ips: count },
  );

/** Four doubles (`lua/pool.lua`), then the counter of the ceiling if there is one. */
async function loadGate({ engine, keys }: Tenant, pool: Pool): Promise<ForecastGate | null> {
  const { redis } = engine.scripts;
  const [raw, fence] = await Promise.all([redis.getBuffer(keys.gate(pool.id)), redis.getBuffer(keys.fence)]);
  if (!raw) return null;
  const [warmingShare, hourMs, warmingUsed, used] = [0, 8, 16, 24].map((at) => raw.readDoubleLE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const ceiling = raw.length > 32 ? unpackHot(raw.subarray(32), unpackFence(fence)) : null;
  return {
    ...{ warmingShare, hourMs: hourMs - (hourMs % HOUR_MS), warmingUsed, used },
    ceiling: ceiling && { state: ceiling.state, quota: ceiling.quota },
  };
}

/** The zone of the IPs that warm up, if they have one; days are told on its clock. */
function commonZone(ips: readonly ForecastIp[]): string {
  const zones = new Set(
    ips.flatMap(({ ip }) => (ip.status === 'warming' && ip.warmup ? [ip.warmup.zone] : [])),
  );
  const [zone] = zones;
  return zones.size === 1 && zone ? zone : 'UTC';
}

const commonPlan = (ips: readonly ForecastIp[]) =>
  ips.find(({ ip }) => ip.status === 'warming')?.plan ?? null;

/** An IP that warms up goes on by another plan, at the day that it has reached. */
function withPlan(one: ForecastIp, plan: Plan): ForecastIp {
  const { ip } = one;
  if (ip.status !== 'warming' || !ip.warmup) return one;
  const warmup = { ...ip.warmup, plan: plan.name, digest: planDigest(plan), totalDays: plan.days.length };
  return { ...one, ip: { ...ip, warmup }, plan };
}

/** One more IP whose warm-up starts today. */
function newIp(number: number, plan: Plan, zone: string, nowMs: number): ForecastIp {
  const made = decide.create(
    {
      ...{ id: `ip_new${number}`, address: `new IP ${number}`, region: null, hostname: null, bind: null },
      ...{ leased: false, status: 'provisioning' },
    },
    nowMs,
    'forecast',
  );
  const options = { zone, burst: null, dayStartsAt: 'start', startDay: 1 };
  const ip: DedicatedIp = decide.startWarmup(made.ip, plan, options, nowMs, 'forecast').ip;
  return { ip, plan, state: NEW_COUNTER };
}
