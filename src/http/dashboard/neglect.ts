/**
 * A warming IP that hardly sends is not being warmed: how it was on its last whole day, and whether that was for want of mail
 * or because something held it.
 */
import { type Demand, demandByHour, hoursBetween, OF_ANY, sumOfDemand } from '../../fleet/demand.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { calendarDayAt } from '../../warmup/calendar.ts';
import { calendarOf } from '../../warmup/dedicated-ip.ts';
import { type Day, dayOf, type Looked } from './day.ts';
import { CODES, counted, grouped, percent, usedText } from './words.ts';

export type Neglect = {
  sent: number;
  sendable: number;
  warmupDay: number;
  /** What was wanted of it and of its pools on that day, as far as senders told. */
  demand: Demand;
};

/** Below this share of what it might have sent, a day warms nobody. */
const TOO_LITTLE = 0.25;

/** For each IP. What was wanted is looked up for all of them together, an hour at a time. */
export async function neglectsOf(tenant: Tenant, looked: readonly Looked[]): Promise<(Neglect | null)[]> {
  const days = looked.map(neglectedDayOf);
  const targetsOf = ({ ip }: Looked) => [ip.id, ...(ip.pools.length > 0 ? ip.pools : [OF_ANY])];
  const neglected = looked.filter((_, index) => days[index] !== null);
  const targets = [...new Set(neglected.flatMap(targetsOf))];
  const spans = days.flatMap((day) => (day === null ? [] : [day]));
  if (spans.length === 0) return days.map(() => null);
  const hours = hoursBetween(
    Math.min(...spans.map(({ fromMs }) => fromMs)),
    Math.max(...spans.map(({ toMs }) => toMs)),
  );
  const found = await demandByHour(tenant, targets, hours);
  const hoursOf = new Map(targets.map((target, index) => [target, found[index]!]));
  return looked.map((one, index) => {
    const day = days[index];
    if (!day) return null;
    const demand = sumOfDemand(
      targetsOf(one).flatMap((target) =>
        hoursOf
          .get(target)!
          .filter(({ fromMs }) => fromMs >= day.fromMs - HALF_AN_HOUR_MS && fromMs < day.toMs),
      ),
    );
    return { sent: day.sent, sendable: day.sendable!, warmupDay: day.warmupDay!, demand };
  });
}

/** Demand is counted in hours of the clock, and a day may begin between two of them. */
const HALF_AN_HOUR_MS = 1_800_000;

function neglectedDayOf(one: Looked): Day | null {
  const { ip, counted } = one;
  if (ip.status !== 'warming') return null;
  const yesterday = calendarDayAt(calendarOf(ip), counted.nowMs) - 1;
  if (yesterday < 1) return null;
  const day = dayOf(one, yesterday);
  const { sent, sendable, warmupDay } = day;
  return sendable === null || warmupDay === null || sent >= sendable * TOO_LITTLE ? null : day;
}

/** A sentence without its subject and its end: it stands behind the name of the IP. */
export function neglectText(neglect: Neglect): string {
  const { sent, sendable, warmupDay } = neglect;
  const used = `used ${percent(sent / sendable)} of day ${warmupDay} (${usedText({ used: sent, limit: sendable })})`;
  return `${used}: an IP that hardly sends is not being warmed${becauseOf(neglect)}`;
}

export type Cause = 'no mail' | 'held' | 'others' | null;

/** `null`: its senders told less than it sent, so nobody knows. */
export function causeOf({ sent, sendable, demand: { wanted, held } }: Neglect): Cause {
  if (wanted < sent) return null;
  if (wanted < sendable * TOO_LITTLE) return 'no mail';
  return held > 0 && held >= (wanted - sent) / 2 ? 'held' : 'others';
}

function becauseOf(neglect: Neglect): string {
  const { wanted, held, heldBy } = neglect.demand;
  switch (causeOf(neglect)) {
    case 'no mail':
      return `; there was no mail for it: ${wanted === 0 ? 'nothing was' : `only ${counted(wanted, 'send')} were`} wanted of it or its pool`.replace(
        '1 send were',
        '1 send was',
      );
    case 'held':
      return `; ${grouped(wanted)} were wanted and ${grouped(held)} of them held, most because ${CODES[heldBy[0]?.[0] ?? ''] ?? 'nothing was left'}`;
    case 'others':
      return `; ${grouped(wanted)} were wanted of its pool, and most went out by other IPs`;
    default:
      return '';
  }
}
