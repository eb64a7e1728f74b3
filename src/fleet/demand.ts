/**
 * What senders wanted, by the hour: read from what all their processes handed in (`../redis/demand.ts`), at most ten seconds
 * late. Hours are those of the clock in UTC, on engine time; two days of them are kept.
 */
import type { BecauseCode } from '../redis/answer.ts';
import { HOUR_MS } from '../warmup/units.ts';
import { nowIn, type Tenant } from './engine.ts';

/** Sends that were wanted, granted, and held by reason. Who asks again for what was held wants it again. */
export type Demand = { wanted: number; granted: number; held: number; heldBy: [BecauseCode, number][] };
export type DemandOfHour = Demand & { fromMs: number };

/** Takes that one reason denied. */
export type Denial = {
  /** Id of the IP or of the pool that was named; `null`: neither was, and there is no default pool. */
  target: string | null;
  code: BecauseCode;
  takes: number;
  sends: number;
  lastAtMs: number;
  /** Of the last one: the IP that has room soonest. */
  ipId: string | null;
};

export const HOURS_KEPT = 48;
/** The running hour and the one before it, which is whole. */
export const HOURS_SHOWN = 2;

/** All that the account's senders wanted, whatever they named. */
export const OF_ALL = 'all';
/** What named nothing, where there is no default pool. */
export const OF_ANY = 'any';

/** Hours that end with the running one, the oldest first. */
function lastHours(nowMs: number, count: number): number[] {
  const running = Math.floor(nowMs / HOUR_MS) * HOUR_MS;
  return Array.from(
    { length: Math.min(count, HOURS_KEPT) },
    (_, index) => running - index * HOUR_MS,
  ).reverse();
}

/** For each target (id of an IP or pool, or `OF_ALL`, `OF_ANY`) its hours, the oldest first. */
export async function demandByHour(
  tenant: Tenant,
  targets: readonly string[],
  hours: readonly number[],
): Promise<DemandOfHour[][]> {
  if (targets.length === 0) return [];
  const { engine, keys } = tenant;
  const found = await Promise.all(
    hours.map((fromMs) => engine.scripts.redis.hmget(keys.demand(fromMs), ...targets)),
  );
  return targets.map((_, index) =>
    hours.map((fromMs, at) => ({ fromMs, ...unpacked(found[at]![index] ?? null) })),
  );
}

/** Of each target what was wanted in the last hours. */
export async function demandOf(
  tenant: Tenant,
  targets: readonly string[],
  { hours = HOURS_SHOWN }: { hours?: number } = {},
): Promise<Demand[]> {
  const byHour = await demandByHour(tenant, targets, lastHours(await nowIn(tenant), hours));
  return byHour.map(sumOfDemand);
}

export async function demandOfHours(tenant: Tenant, target: string, hours: number): Promise<DemandOfHour[]> {
  const [found] = await demandByHour(tenant, [target], lastHours(await nowIn(tenant), hours));
  return found!;
}

/** The hours of the clock that two instants touch. */
export function hoursBetween(fromMs: number, toMs: number): number[] {
  const hours: number[] = [];
  for (let at = Math.floor(fromMs / HOUR_MS) * HOUR_MS; at < toMs && hours.length < MOST_HOURS; at += HOUR_MS)
    hours.push(at);
  return hours;
}

/** Of IPs in any time zone, the last whole day of each: more there is not to be read. */
const MOST_HOURS = 72;

/** What was denied in this hour and the one before it, the latest first; at most 200 reasons and targets of each hour. */
export async function denialsOf(tenant: Tenant): Promise<Denial[]> {
  const { engine, keys } = tenant;
  const hours = lastHours(await nowIn(tenant), HOURS_SHOWN);
  const found = await Promise.all(hours.map((fromMs) => engine.scripts.redis.hgetall(keys.denied(fromMs))));
  const byField = new Map<string, Denial>();
  for (const [field, text] of found.flatMap((fields) => Object.entries(fields))) {
    const [code, target] = field.split(' ') as [BecauseCode, string];
    const [takes, sends, lastAtMs, ipId] = text.split(' ');
    const earlier = byField.get(field);
    byField.set(field, {
      target: target === OF_ANY ? null : target,
      code,
      takes: Number(takes) + (earlier?.takes ?? 0),
      sends: Number(sends) + (earlier?.sends ?? 0),
      lastAtMs: Number(lastAtMs),
      ipId: ipId || null,
    });
  }
  return [...byField.values()].sort((a, b) => b.lastAtMs - a.lastAtMs);
}

/** Since the account has been: it only grows. */
export async function totalDemandOf({ engine, keys }: Tenant): Promise<Demand> {
  const fields = await engine.scripts.redis.hgetall(keys.demandTotal);
  const heldBy = Object.entries(fields).flatMap(([name, sends]): [BecauseCode, number][] =>
    name.startsWith('held:') ? [[name.slice('held:'.length) as BecauseCode, Number(sends)]] : [],
  );
  const [wanted, granted] = [Number(fields.wanted ?? 0), Number(fields.granted ?? 0)];
  return { wanted, granted, held: Math.max(0, wanted - granted), heldBy: inOrder(heldBy) };
}

/** `<wanted> <granted> <code>=<sends> ...` */
function unpacked(text: string | null): Demand {
  const [wanted = 0, granted = 0] = (text ?? '').split(' ', 2).map(Number);
  const heldBy = (text ?? '')
    .split(' ')
    .slice(2)
    .map((reason): [BecauseCode, number] => {
      const [code, sends] = reason.split('=');
      return [code as BecauseCode, Number(sends)];
    });
  return { wanted, granted, held: Math.max(0, wanted - granted), heldBy: inOrder(heldBy) };
}

export function sumOfDemand(some: readonly Demand[]): Demand {
  const heldBy = new Map<BecauseCode, number>();
  let [wanted, granted] = [0, 0];
  for (const one of some) {
    wanted += one.wanted;
    granted += one.granted;
    for (const [code, sends] of one.heldBy) heldBy.set(code, (heldBy.get(code) ?? 0) + sends);
  }
  return { wanted, granted, held: Math.max(0, wanted - granted), heldBy: inOrder([...heldBy]) };
}

/** What holds most comes first. */
const inOrder = (heldBy: [BecauseCode, number][]) => heldBy.sort((a, b) => b[1] - a[1]);
