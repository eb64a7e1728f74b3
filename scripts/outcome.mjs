import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE } from './project.mjs';

/*
 * What some tests need and a machine may be unable to have: it is tried once, and what came of it is kept in .cache. The
 * tests read there where it is, or why they are skipped.
 */

const fileOf = (name) => join(CACHE, `${name}.json`);

/** `{ path }`, or `{ because }` there is none; `null`: nobody has tried, or it has gone since. */
export function outcomeOf(name) {
  try {
    const outcome = JSON.parse(readFileSync(fileOf(name), 'utf8'));
    return outcome.path === undefined || existsSync(outcome.path) ? outcome : null;
  } catch {
    return null;
  }
}

export function keepOutcome(name, outcome) {
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(fileOf(name), `${JSON.stringify(outcome)}\n`);
}

export const firstLine = (text) => text.trim().split('\n', 1)[0].slice(0, 200);
