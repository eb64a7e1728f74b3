/**
 * What a schedule is: a published table, one row for each day, and the checks that every table passes before
 * anything is sent by it. Numbers only; nothing is imported, so that a table can be read without the engine.
 */

/** One day of a table of daily limits. `day` is the warm-up day, counted from 1; `dailyLimit` is in sends, `null` is unlimited. */
export type DailyRow = { readonly day: number; readonly dailyLimit: number | null };

/** One day of a table of hourly caps. `ageDays` is the age in days, counted from 0; `hourlyCap` is in sends an hour, `null` is unlimited. */
export type HourlyRow = { readonly ageDays: number; readonly hourlyCap: number | null };

/** A published table with its source. It has either daily limits or hourly caps, never both: a plan joins several. */
export type WarmupSchedule = {
  /** What people type: `fourteen-day`. Lower-case letters, digits and dashes; `+` joins schedules to a plan. */
  readonly id: string;
  readonly title: string;
  /** Where the numbers come from, in a sentence that a reviewer can follow. */
  readonly source: string;
} & ({ readonly daily: readonly DailyRow[] } | { readonly hourly: readonly HourlyRow[] });

/** A table that breaks a rule; the message says which row, with its value. */
export class BadSchedule extends Error {
  readonly code = 'bad_schedule';
}

/** 400 days is more than a year of warm-up: beyond that a table is a mistake. */
const MOST_ROWS = 400;
/** A bucket counts in sends x 3 600 000 and must stay below 2^53 (9.0e15): 1e9 sends leave room to spare. */
const MOST_SENDS = 1_000_000_000;

/**
 * Checks a table and returns it: days without gaps, whole numbers of at least 1, never falling, unlimited only at the end.
 * @throws BadSchedule naming the schedule, the row and the rule.
 */
export function defineSchedule(schedule: WarmupSchedule): WarmupSchedule {
  if (!/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/.test(schedule.id)) {
    throw new BadSchedule(
      `schedule "${schedule.id}": an id is 1 to 64 lower-case letters, digits and dashes (example: fourteen-day)`,
    );
  }
  const given: unknown = 'daily' in schedule ? schedule.daily : schedule.hourly;
  if (!Array.isArray(given) || !given.every((row) => typeof row === 'object' && row !== null)) {
    throw new BadSchedule(
      `schedule "${schedule.id}": its rows are no list of rows (example: daily: [{ day: 1, dailyLimit: 50 }])`,
    );
  }
  const rows = limitsOf(schedule);
  const [noun, first] = 'daily' in schedule ? (['day', 1] as const) : (['ageDays', 0] as const);
  const limitName = 'daily' in schedule ? 'daily limit' : 'hourly cap';
  const fail = (problem: string): never => {
    throw new BadSchedule(`schedule "${schedule.id}": ${problem}`);
  };

  if (rows.length === 0) fail('it has no rows; give at least one day');
  if (rows.length > MOST_ROWS) fail(`it has ${rows.length} rows; at most ${MOST_ROWS} are allowed`);
  rows.forEach(({ number, limit }, index) => {
    const expected = index + first;
    if (number !== expected) {
      fail(
        `row ${index + 1} has ${noun} ${number} where ${noun} ${expected} is due; days follow each other without gaps`,
      );
    }
    if (limit !== null && !(Number.isInteger(limit) && limit >= 1 && limit <= MOST_SENDS)) {
      fail(
        `${noun} ${number} has ${limitName} ${limit}; it must be a whole number from 1 to ${MOST_SENDS}, or null for unlimited`,
      );
    }
    const previous = rows[index - 1];
    if (previous && (limit ?? Number.POSITIVE_INFINITY) < (previous.limit ?? Number.POSITIVE_INFINITY)) {
      fail(
        `${limitName} must not fall: ${noun} ${number} has ${limit} after ${previous.limit ?? 'unlimited'}`,
      );
    }
  });
  return schedule;
}

/** The rows of either kind of table in one shape: the day's own number and its limit in sends (`null`: unlimited). */
export function limitsOf(schedule: WarmupSchedule): { number: number; limit: number | null }[] {
  return 'daily' in schedule
    ? schedule.daily.map((row) => ({ number: row.day, limit: row.dailyLimit }))
    : schedule.hourly.map((row) => ({ number: row.ageDays, limit: row.hourlyCap }));
}
