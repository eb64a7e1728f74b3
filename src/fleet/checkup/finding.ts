/** What an examination says: one line for each thing that was looked at. */
export type Level = 'ok' | 'warning' | 'failure';

export type Finding = {
  /** What was looked at, in a word or two. */
  readonly check: string;
  /** Of several Redis: which one. */
  readonly at?: string;
  readonly level: Level;
  /** What was found, with the value. */
  readonly found: string;
  /** What to do about it; nothing when all is well. */
  readonly todo?: string;
};

export const ok = (check: string, found: string): Finding => ({ check, level: 'ok', found });
export const warning = (check: string, found: string, todo: string): Finding => ({
  ...{ check, level: 'warning', found, todo },
});
export const failure = (check: string, found: string, todo: string): Finding => ({
  ...{ check, level: 'failure', found, todo },
});

/** So many are named; the rest is counted. */
const MOST_NAMED = 3;

/** `203.0.113.7, 203.0.113.8, 203.0.113.9 and 12 more` */
export function named(all: readonly string[]): string {
  const shown = all.slice(0, MOST_NAMED).join(', ');
  return all.length <= MOST_NAMED ? shown : `${shown} and ${all.length - MOST_NAMED} more`;
}
