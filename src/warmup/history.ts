/**
 * The last changes of an IP as its record keeps them: `[afterMs, what, from, to, because, by]`, newest first; the first is the
 * time since its creation. A number in the place of a text stands for one of the phrases below, so that a change that every IP
 * makes costs 30 bytes and not 240.
 */
import type { Change } from './decide.ts';

export type KeptChange = [
  atMs: number,
  what: unknown,
  from: unknown,
  to: unknown,
  because: unknown,
  by: unknown,
];

const MOST_KEPT = 20;

/** Records hold the places of these phrases: a new one is added at the end, and none is ever changed or moved. */
const PHRASES = [
  'status',
  'provisioning',
  'warming',
  'active',
  'cooldown',
  'released',
  'engine',
  'hold',
  'pool',
  'ceiling',
  'an address was taken from the inventory',
  'brought by the account, already warm',
  'warm-up started with plan fourteen-day+sendgrid-hourly',
  'all 14 days of plan fourteen-day+sendgrid-hourly are over',
  'warm-up started with plan sendgrid-hourly',
  'all 42 days of plan sendgrid-hourly are over',
  'warm-up started with plan fourteen-day',
  'all 14 days of plan fourteen-day are over',
  'it is provisioned, and set to warm up by itself with plan sendgrid-hourly',
  'the warm-up was ended by hand',
  'the IP was released',
  'the cooldown is over',
  'restored from cooldown',
  'the hold reached its end',
  'resumed',
  'set by the operator',
  'the IP left the pool',
  'labels',
];
const placeOf = new Map<unknown, number>(PHRASES.map((phrase, place) => [phrase, place]));

/** What is no phrase stays as it is; a number goes into a list of one, since it would be taken for a phrase. */
const pack = (value: unknown) => placeOf.get(value) ?? (typeof value === 'number' ? [value] : value);

function unpack(value: unknown): unknown {
  // A later version knows more phrases.
  if (typeof value === 'number') return PHRASES[value] ?? `phrase ${value}`;
  return Array.isArray(value) && value.length === 1 && typeof value[0] === 'number' ? value[0] : value;
}

export const keepChange = (createdAtMs: number, atMs: number, change: Change): KeptChange => [
  atMs - createdAtMs,
  pack(change.what),
  pack(change.from),
  pack(change.to),
  pack(change.because),
  pack(change.by),
];

export function keptChange(createdAtMs: number, kept: readonly unknown[]): Change & { atMs: number } {
  const [afterMs, ...rest] = kept;
  const [what, from, to, because, by] = rest.map(unpack);
  const atMs = createdAtMs + Number(afterMs);
  return { atMs, what: String(what), from, to, because: String(because), by: String(by) };
}

/** The history of an IP with the changes of one decision, which are in the order in which they were made. */
export function withChanges(
  { createdAtMs, history }: { createdAtMs: number; history: readonly unknown[][] },
  atMs: number,
  changes: readonly Change[],
): unknown[][] {
  const fresh = changes.map((change): unknown[] => keepChange(createdAtMs, atMs, change)).reverse();
  return [...fresh, ...history].slice(0, MOST_KEPT);
}
