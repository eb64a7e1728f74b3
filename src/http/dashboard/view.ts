/** One IP as the pages show it: what is decided, what was counted, and what comes next, read at one instant. */
import { planOf } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { calendarDayAt, dayBeginsAt, daysBegunBetween } from '../../warmup/calendar.ts';
import { calendarOf, type DedicatedIp, type Warmup } from '../../warmup/dedicated-ip.ts';
import { limitsOn, type Plan } from '../../warmup/plan.ts';
import { isHeld, warmupDayAt } from '../../warmup/progress.ts';
import { HOUR_MS } from '../../warmup/units.ts';
import { type IpQuota, ipQuotaOf } from '../../wire/quota.ts';
import { type Counted, ipOf } from '../../wire/v1.ts';
import type { Context } from '../context.ts';
import { type Html, html, type Piece } from '../html.ts';
import { bar, lengthText, limitText, percent, reasonText, time, usedText } from './words.ts';

export type IpView = {
  ip: DedicatedIp;
  counted: Counted;
  quota: IpQuota;
  plan: Plan | null;
  /** As the API shows it. */
  wire: ReturnType<typeof ipOf>;
  nowMs: number;
};

export async function viewOf(context: Context, tenant: Tenant, ip: DedicatedIp): Promise<IpView> {
  const [counted, plan] = await Promise.all([context.countedFor(tenant, ip), planOf(tenant, ip)]);
  return { ip, counted, quota: ipQuotaOf(ip, counted), plan, wire: ipOf(ip, counted), nowMs: counted.nowMs };
}

export const viewsOf = (context: Context, tenant: Tenant, ips: readonly DedicatedIp[]): Promise<IpView[]> =>
  Promise.all(ips.map((ip) => viewOf(context, tenant, ip)));

export type Day = {
  fromMs: number;
  toMs: number;
  /** `null`: it was not warming then, as far as is known now. */
  warmupDay: number | null;
  dailyLimit: number | null;
  hourlyCap: number | null;
  /** The most that the limits let through in all of it; `null` is unlimited. */
  sendable: number | null;
  sent: number;
};

/** A day of an IP, counted from the day of its start, with what the plan says of it. */
export function dayOf({ ip, counted, plan }: IpView, calendarDay: number): Day {
  const calendar = calendarOf(ip);
  const [fromMs, toMs] = [dayBeginsAt(calendar, calendarDay), dayBeginsAt(calendar, calendarDay + 1)];
  const { counter, sent } = counted;
  const running = counter?.state.dayFromMs === fromMs ? counter.state.dayUsed : 0;
  const filed = sent.days.find((one) => one.fromMs === fromMs)?.sends ?? 0;
  const { warmup } = ip;
  const ended = warmup?.completedAtMs ?? null;
  const isWarming = warmup !== null && plan !== null && (ended === null || fromMs < ended);
  const warmupDay = isWarming
    ? Math.min(warmupDayAt({ ...ip, warmup: asOf(warmup, fromMs) }, fromMs), warmup.totalDays)
    : null;
  const { dailyLimit, hourlyCap } =
    warmupDay !== null && plan ? limitsOn(plan, warmupDay) : { dailyLimit: null, hourlyCap: null };
  const byHour = hourlyCap === null ? null : hourlyCap * Math.ceil((toMs - fromMs) / HOUR_MS);
  const sendable = dailyLimit === null ? byHour : byHour === null ? dailyLimit : Math.min(dailyLimit, byHour);
  return { fromMs, toMs, warmupDay, dailyLimit, hourlyCap, sendable, sent: Math.max(running, filed) };
}

/**
 * The record has each correction at the instant at which it was made. One for days that stood still was made when they were
 * over, so before it, as many of them count as had begun by then.
 */
function asOf(warmup: Warmup, atMs: number): Warmup {
  const adjustments = warmup.adjustments.map((one) => {
    if (one.atMs <= atMs) return one;
    return { ...one, days: Math.min(0, one.days + daysBegunBetween(warmup, atMs, one.atMs + 1)) };
  });
  return { ...warmup, adjustments };
}

/** Below this share of what it might have sent, a day warms nobody. */
const TOO_LITTLE = 0.25;

/** A warming IP that hardly sends is not being warmed: how it was on the last whole day. `null`: well, or no day is over. */
export function neglectOf(
  view: IpView,
): { sent: number; sendable: number; share: number; day: number } | null {
  const { ip, nowMs } = view;
  if (ip.status !== 'warming') return null;
  const yesterday = calendarDayAt(calendarOf(ip), nowMs) - 1;
  if (yesterday < 1) return null;
  const { sent, sendable, warmupDay } = dayOf(view, yesterday);
  if (sendable === null || warmupDay === null || sent >= sendable * TOO_LITTLE) return null;
  return { sent, sendable, share: sent / sendable, day: warmupDay };
}

export function neglectText(view: IpView): string | null {
  const neglect = neglectOf(view);
  return (
    neglect &&
    `used ${percent(neglect.share)} of day ${neglect.day} (${usedText({ used: neglect.sent, limit: neglect.sendable })}): an IP that hardly sends is not being warmed`
  );
}

export const dayText = ({ wire }: IpView): string =>
  wire.warmup.currentDay === null ? '' : `day ${wire.warmup.currentDay} of ${wire.warmup.totalDays}`;

/** What changes next by itself, and when; `null`: nothing does. */
export function nextChange({ ip, quota, wire, nowMs }: IpView): { atMs: number; what: string } | null {
  const ends = ip.holds.flatMap(({ untilMs }) => (untilMs !== null && untilMs > nowMs ? [untilMs] : []));
  const hold = ends.length > 0 ? { atMs: Math.min(...ends), what: 'a hold ends' } : null;
  const own = ((): { atMs: number; what: string } | null => {
    switch (ip.status) {
      case 'warming': {
        if (!quota.next) return null;
        const { from, dailyLimit, hourlyCap } = quota.next;
        const isLast =
          wire.warmup.completesAt !== null && Date.parse(wire.warmup.completesAt) <= Date.parse(from);
        const stands = ip.holds.some((one) => one.advance && isHeld(one, nowMs));
        const limit = dailyLimit < 0 ? `${limitText(hourlyCap)} an hour` : `${limitText(dailyLimit)} a day`;
        const what = isLast
          ? 'active, without limits'
          : stands
            ? 'a new day at the same limits'
            : `up to ${limit}`;
        return { atMs: Date.parse(from), what };
      }
      case 'cooldown':
        return ip.cooldown && { atMs: ip.cooldown.untilMs, what: 'released for good' };
      default:
        return null;
    }
  })();
  return hold && (!own || hold.atMs < own.atMs) ? hold : own;
}

export function statusBadge({ ip, wire }: IpView): Html {
  const isStopped = wire.hold?.sending;
  return html`<span class="badge ${ip.status}">${ip.status}</span>${
    isStopped
      ? html` <span class="badge held">held</span>`
      : wire.hold && html` <span class="badge held">no progress</span>`
  }`;
}

/** May one send go now, and if not: why, and when again. */
function standing({ quota, nowMs }: IpView): Html {
  if (quota.allowed) return html`<span class="good">Sends now</span>`;
  const again =
    quota.retryAfterMs === null
      ? 'waiting does not help'
      : html`again in ${lengthText(quota.retryAfterMs)}, at ${time(nowMs + quota.retryAfterMs)}`;
  return html`<span class="bad">Denied now</span>: ${reasonText(quota)}; ${again}`;
}

// ---- the row of a list. The cells that move are named, so that they can be renewed one by one.

export const ROW_HEAD = html`<thead><tr><th scope="col">IP</th><th scope="col">Status</th><th scope="col">Today</th><th scope="col">This hour</th><th scope="col">Now</th><th scope="col">Next change</th></tr></thead>`;

export function cellsOf(view: IpView): Record<'status' | 'standing' | 'day' | 'hour' | 'now' | 'next', Html> {
  const { quota, ip, nowMs } = view;
  const sends = ip.status === 'warming' || ip.status === 'active';
  const next = nextChange(view);
  const neglect = neglectText(view);
  const none = html`<span class="faint">nothing</span>`;
  return {
    status: html`${statusBadge(view)} <span class="day">${dayText(view)}</span>`,
    standing: standing(view),
    day: sends ? html`${bar(quota.day)}<span class="num">${usedText(quota.day)}</span>` : none,
    hour: sends ? html`${bar(quota.hour)}<span class="num">${usedText(quota.hour)}</span>` : none,
    now: html`${quota.allowed ? html`<span class="good">sends</span>` : html`<span class="bad">denied</span>: ${reasonText(quota)}${quota.retryAfterMs !== null && `; again in ${lengthText(quota.retryAfterMs)}`}`}${neglect && html`<br><span class="warn">${neglect}</span>`}`,
    next: next
      ? html`${next.what} in ${lengthText(next.atMs - nowMs)}`
      : html`<span class="faint">none by itself</span>`,
  };
}

/** @param more a last cell, beside what moves */
export function rowOf(view: IpView, pools: Piece, more?: Piece): Html {
  const { ip } = view;
  const cells = cellsOf(view);
  return html`<tr data-ip="${ip.id}"><th scope="row"><a href="/ips/${ip.id}">${ip.address}</a>${pools && html`<small>${pools}</small>`}</th><td data-cell="status">${cells.status}</td><td data-cell="day" data-label="Today">${cells.day}</td><td data-cell="hour" data-label="This hour">${cells.hour}</td><td data-cell="now" data-label="Now">${cells.now}</td><td data-cell="next" data-label="Next">${cells.next}</td>${more && html`<td>${more}</td>`}</tr>
`;
}
