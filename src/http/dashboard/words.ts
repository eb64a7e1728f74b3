/** Numbers, times and reasons as people read them. */
import { counted, grouped } from '../../warmup/words.ts';
import type { IpQuota } from '../../wire/quota.ts';
import { type Html, html } from '../html.ts';

export { counted, grouped };

/** On the wire unlimited is -1. */
export const limitText = (limit: number) => (limit < 0 ? 'unlimited' : grouped(limit));
export const orUnlimited = (limit: number | null) => (limit === null ? 'unlimited' : grouped(limit));
/** What is little is not nothing, and nearly all is not all. */
export function percent(share: number): string {
  if (share > 0 && share < 0.01) return 'under 1 %';
  return share < 1 && share > 0.99 ? 'over 99 %' : `${Math.round(share * 100)} %`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (value: number) => String(value).padStart(2, '0');

/** `21 Nov 2026, 14:05` in UTC. */
export function instantText(atMs: number): string {
  const at = new Date(atMs);
  const date = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
  return `${date}, ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}
/** `21 Nov 14:00` in UTC, for the axis of a chart. */
export function shortText(atMs: number): string {
  const at = new Date(atMs);
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

export const time = (at: number | string): Html => {
  const ms = typeof at === 'number' ? at : Date.parse(at);
  return html`<time datetime="${new Date(ms).toISOString()}">${instantText(ms)} UTC</time>`;
};

/** `45 s`, `12 min`, `3 h 20 min`, `2 days`: to the minute, so that what is live is not renewed each second. */
export function lengthText(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (hours < 48) return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
  return counted(Math.round(hours / 24), 'day');
}

/** Why a take would be refused now, as a sentence that begins in lower case. */
export function reasonText({
  binds,
  status,
  hold,
  limit,
}: Pick<IpQuota, 'binds' | 'status' | 'hold' | 'limit'>) {
  switch (binds) {
    case 'status':
      return `it is ${status}, and such an IP sends nothing`;
    case 'hold':
      return `it is on hold${hold ? `: ${hold.because}` : ''}`;
    case 'unpublished':
      return 'no quota is published for it';
    case 'day':
      return `today's limit of ${limitText(limit)} is used up`;
    case 'hour':
      return `this hour's cap of ${limitText(limit)} is used up`;
    case 'burst':
      return `the bucket of ${limitText(limit)} is empty and fills steadily`;
    case 'ceiling':
      return `its ceiling of ${limitText(limit)} is used up`;
    default:
      return 'nothing limits it';
  }
}

/** What a hold stops. */
export const stopsText = ({ sending, advance }: { sending: boolean; advance: boolean }) =>
  sending && advance
    ? 'no mail and no progress'
    : sending
      ? 'no mail, and the days go on'
      : 'no progress, and mail goes on';

/** The codes of a denied take, where no more is known than the code. */
export const CODES: Readonly<Record<string, string>> = {
  status: 'the status sends nothing',
  hold: 'on hold',
  unpublished: 'no quota is published',
  day: 'the daily limit is used up',
  hour: 'the hourly cap is used up',
  burst: 'the bucket is empty',
  ceiling: 'the ceiling is used up',
  count: 'more at once than the limits ever allow',
  unreachable: 'Redis could not be reached',
};

/** How a day or hour stands: `12 of 50`. */
export const usedText = ({ used, limit }: { used: number; limit: number }) =>
  limit < 0 ? `${grouped(used)}, unlimited` : `${grouped(used)} of ${grouped(limit)}`;

/** A bar is a picture of the text beside it, so it is hidden from those who hear the text. */
export function bar({ used, limit }: { used: number; limit: number }): Html {
  const share = limit > 0 ? Math.min(1, used / limit) : 0;
  const kind = limit < 0 ? 'open' : limit > 0 && used >= limit ? 'full' : 'part';
  return html`<svg class="bar ${kind}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="track" width="100" height="8"/><rect class="fill" width="${(share * 100).toFixed(2)}" height="8"/></svg>`;
}

/** The part of an address behind the question mark. */
export const paramsOf = (params: Readonly<Record<string, string>>) => new URLSearchParams(params).toString();
