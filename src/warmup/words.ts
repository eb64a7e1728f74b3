/** Numbers and instants as people read them. */
import { DateTime } from 'luxon';

export const grouped = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, ',');

/** `1 IP`, `2 IPs` */
export const counted = (count: number, one: string, many = `${one}s`) =>
  `${grouped(count)} ${count === 1 ? one : many}`;

/** How long from now, in its two largest units: `1 h 30 min`. */
export function lasting(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const units = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const;
  const first = units.findIndex(([count]) => count > 0);
  if (first === -1) return '0 s';
  return units
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

/** On the clock of a zone, as short as can be: `11:00`, `11:00:20`, `Tue 24 Nov 11:00`. Never early: a part of a second is one. */
export function clockTime(atMs: number, nowMs: number, zone: string): string {
  const at = DateTime.fromMillis(Math.ceil(atMs / 1000) * 1000, { zone, locale: 'en' });
  const clock = at.second === 0 ? 'HH:mm' : 'HH:mm:ss';
  if (at.hasSame(DateTime.fromMillis(nowMs, { zone }), 'day')) return at.toFormat(clock);
  const year = at.hasSame(DateTime.fromMillis(nowMs, { zone }), 'year') ? '' : ' yyyy';
  return at.toFormat(`ccc d LLL${year} ${clock}`);
}

/** `11:00 (in 24 min)` */
export const timeAndWait = (atMs: number, nowMs: number, zone: string) =>
  `${clockTime(atMs, nowMs, zone)} (in ${lasting(atMs - nowMs)})`;
