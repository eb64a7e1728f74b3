/**
 * A plan: one or more schedules enforced together, written `fourteen-day+sendgrid-hourly`. The tightest limit binds,
 * and the schedule named first sets the length; past its own end a shorter one repeats its last row. A plan is kept as
 * its finished rows, so that what was promised at the start of a warm-up cannot change when somebody edits a table.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { limitsOf, type WarmupSchedule } from '../../schedules/schedule.ts';
import { invalid } from './errors.ts';

/** Most sends in a day and in an hour of it; `null` is unlimited. */
export type Limits = { dailyLimit: number | null; hourlyCap: number | null };

const limit = z.number().int().positive().nullable();
export const Plan = z.object({
  name: z.string(),
  /** `days[0]` is warm-up day 1. */
  days: z.array(z.object({ dailyLimit: limit, hourlyCap: limit })).min(1),
});
export type Plan = z.infer<typeof Plan>;

/** The schedules that a process knows, by id. */
export type ScheduleBook = ReadonlyMap<string, WarmupSchedule>;

/** The default plan of the v1 API and of the dry run. From day 7 on the hourly cap is what binds. */
export const DEFAULT_PLAN = 'fourteen-day+sendgrid-hourly';

/** @throws WarmlineError `invalid` (param `plan`) for an unknown schedule, naming those that are known. */
export function buildPlan(name: string, book: ScheduleBook): Plan {
  const ids = name.split('+');
  if (new Set(ids).size !== ids.length) {
    throw invalid('plan', `plan "${name}" names a schedule twice; name each schedule once`);
  }
  const schedules = ids.map((id) => {
    const schedule = book.get(id);
    if (!schedule) {
      throw invalid(
        'plan',
        `plan "${name}": there is no schedule "${id}"; known are ${[...book.keys()].sort().join(', ')} (join several with +)`,
        { known: [...book.keys()].sort() },
      );
    }
    return schedule;
  });
  const [first] = schedules;
  const totalDays = limitsOf(first!).length;
  const days = Array.from({ length: totalDays }, (_, warmupAgeDays) => ({
    dailyLimit: tightest(schedules.filter((s) => 'daily' in s).map((s) => rowAt(s, warmupAgeDays))),
    hourlyCap: tightest(schedules.filter((s) => 'hourly' in s).map((s) => rowAt(s, warmupAgeDays))),
  }));
  return { name, days };
}

function rowAt(schedule: WarmupSchedule, warmupAgeDays: number): number | null {
  const rows = limitsOf(schedule);
  return rows[Math.min(warmupAgeDays, rows.length - 1)]!.limit;
}

/** The smaller of two limits, where `null` is unlimited. */
export function tighter(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.min(a, b);
}

const tightest = (limits: (number | null)[]) => limits.reduce(tighter, null);

/** The limits of a warm-up day, counted from 1. Past the end the last row repeats: never more, never zero. */
export function limitsOn(plan: Plan, warmupDay: number): Limits {
  return plan.days[Math.min(warmupDay, plan.days.length) - 1]!;
}

/** Names the rows of a plan: the first 16 hex digits of SHA-256, so that 100 000 plans collide with a chance below 1e-9. */
export function planDigest(plan: Plan): string {
  return createHash('sha256')
    .update(JSON.stringify([plan.name, plan.days]))
    .digest('hex')
    .slice(0, 16);
}
