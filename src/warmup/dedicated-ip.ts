/**
 * The record of one dedicated IP: everything that is decided about it, and nothing that is counted. It is checked when it is
 * read and before it is written; `stored-ip.ts` has its stored form.
 */
import { z } from 'zod';
import type { Calendar } from './calendar.ts';
import { STATUSES } from './lifecycle.ts';

/**
 * The layout of the record. A process that meets a higher number refuses to write: it would drop what it cannot read.
 * 1 said everything, and had its history in a list of its own.
 */
export const RECORD_VERSION = 2;

/**
 * No instant of a record is later: the API takes years of four digits, with any offset. Days are reckoned from what is
 * stored, and a `Date` has room for them until 275760; behind that they are NaN, over which a script never comes to an end.
 */
export const LAST_INSTANT_MS = Date.UTC(10_000, 0, 2);
export const instantMs = z.number().int().nonnegative().max(LAST_INSTANT_MS);
const limit = z.number().int().positive().nullable();

export const Hold = z.object({
  /** `ip`, `v3` (switched off there), `account` (a stop of all its IPs), or the id of the pool whose hold this is. */
  scope: z.string(),
  /** No mail. */
  sending: z.boolean(),
  /** No progress: the warm-up day stays. */
  advance: z.boolean(),
  because: z.string(),
  by: z.string(),
  sinceMs: instantMs,
  /** `null`: until somebody resumes it. */
  untilMs: instantMs.nullable(),
});
export type Hold = z.infer<typeof Hold>;

/** The hold of an account's stop. */
export const ACCOUNT_SCOPE = 'account';

/** Holds of the IP itself stay with it when it leaves its pools. */
export const isOwnHold = ({ scope }: Pick<Hold, 'scope'>) => scope === 'ip' || scope === 'v3';

/** A correction of progress in whole days. The edges of the days never move. */
export const Adjustment = z.object({
  atMs: instantMs,
  days: z.number().int(),
  because: z.string(),
  by: z.string(),
});
export type Adjustment = z.infer<typeof Adjustment>;

export const Warmup = z.object({
  plan: z.string(),
  /** Names the rows that were in force at the start; they are kept under it. */
  digest: z.string(),
  totalDays: z.number().int().positive(),
  zone: z.string(),
  dayStartsAt: z.string(),
  /** Size of the token bucket in sends; `null` is the whole hourly cap. */
  burst: z.number().int().positive().nullable(),
  startedAtMs: instantMs,
  completedAtMs: instantMs.nullable(),
  adjustments: z.array(Adjustment),
  /** Since when progress stands still (a hold with `advance`, or the cooldown); `null` while it moves. */
  pausedAtMs: instantMs.nullable(),
});
export type Warmup = z.infer<typeof Warmup>;

/** An operator's own limit in sends, binding in every status; `null` is none. */
export const Ceiling = z.object({ perDay: limit, perHour: limit });
export type Ceiling = z.infer<typeof Ceiling>;
export const NO_CEILING: Ceiling = { perDay: null, perHour: null };

export const DedicatedIp = z.object({
  version: z.number().int(),
  /** Counts the writes; a save names the revision that it read and fails when another came first. */
  rev: z.number().int().nonnegative(),
  id: z.string().regex(/^ip_[0-9a-z]+$/),
  address: z.string(),
  status: z.enum(STATUSES),
  statusSinceMs: instantMs,
  createdAtMs: instantMs,
  updatedAtMs: instantMs,
  region: z.string().nullable(),
  /** What EHLO says. */
  hostname: z.string().nullable(),
  /** The local address to bind when it differs from `address` (behind a NAT). */
  bind: z.string().nullable(),
  /** From the operator's inventory (goes back there), or brought by the account (leaves with it). */
  leased: z.boolean(),
  labels: z.record(z.string(), z.string()),
  /** It has reverse DNS. Only such an IP can be in a pool. */
  whitelabeled: z.boolean().default(true),
  /** The worker starts its warm-up as soon as it is provisioned. */
  autoWarmup: z.boolean().default(false),
  /** For the answers of the v3 dialect: does the parent account send from it, and the ids of the subusers that do. */
  parentAssigned: z.boolean().default(true),
  subusers: z.array(z.string()).default([]),
  ceiling: Ceiling,
  holds: z.array(Hold),
  /** Ids of its pools in the order in which it joined them; the last one is what v1 shows. */
  pools: z.array(z.string()),
  warmup: Warmup.nullable(),
  cooldown: z.object({ from: z.enum(STATUSES), sinceMs: instantMs, untilMs: instantMs }).nullable(),
  /** The last 20 changes, newest first, as `history.ts` packs them. */
  history: z.array(z.array(z.unknown())).default([]),
});
export type DedicatedIp = z.infer<typeof DedicatedIp>;

/** Days turn by the warm-up's calendar, and go on by it afterwards; an IP that never warmed up turns at midnight UTC. */
export function calendarOf(ip: DedicatedIp): Calendar {
  if (ip.warmup) return ip.warmup;
  const midnight = new Date(ip.createdAtMs).setUTCHours(0, 0, 0, 0);
  return { startedAtMs: midnight, zone: 'UTC', dayStartsAt: 'start' };
}
