/** One IP as the pages show it: what is decided, what was counted, and what comes next, read at one instant. */
import { planOf } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import type { Plan } from '../../warmup/plan.ts';
import { isHeld } from '../../warmup/progress.ts';
import { type IpQuota, ipQuotaOf } from '../../wire/quota.ts';
import { type Counted, ipOf } from '../../wire/v1.ts';
import type { Context } from '../context.ts';
import { type Html, html, type Piece } from '../html.ts';
import { type Neglect, neglectsOf, neglectText } from './neglect.ts';
import { bar, lengthText, limitText, reasonText, time, usedText } from './words.ts';

export type IpView = {
  ip: DedicatedIp;
  counted: Counted;
  quota: IpQuota;
  plan: Plan | null;
  /** As the API shows it. */
  wire: ReturnType<typeof ipOf>;
  /** It hardly sends; `null`: it does, or it is too early to tell. */
  neglect: Neglect | null;
  nowMs: number;
};

export async function viewOf(context: Context, tenant: Tenant, ip: DedicatedIp): Promise<IpView> {
  const [view] = await viewsOf(context, tenant, [ip]);
  return view!;
}

export async function viewsOf(
  context: Context,
  tenant: Tenant,
  ips: readonly DedicatedIp[],
): Promise<IpView[]> {
  const looked = await Promise.all(
    ips.map(async (ip) => {
      const [counted, plan] = await Promise.all([context.countedFor(tenant, ip), planOf(tenant, ip)]);
      return { ip, counted, plan };
    }),
  );
  const neglects = await neglectsOf(tenant, looked);
  return looked.map(({ ip, counted, plan }, index) => ({
    ...{ ip, counted, plan, neglect: neglects[index]! },
    ...{ quota: ipQuotaOf(ip, counted), wire: ipOf(ip, counted), nowMs: counted.nowMs },
  }));
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
  const neglect = view.neglect && neglectText(view.neglect);
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
