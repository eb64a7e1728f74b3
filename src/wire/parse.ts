/**
 * What comes over the wire, parsed once at the border: from then on nobody doubts it again. A mistake is told as one
 * sentence that names the field, its value and the rule; the other mistakes of the same request are in the details.
 */
import { DateTime } from 'luxon';
import { z } from 'zod';
import { WarmlineError } from '../warmup/errors.ts';

/** @throws WarmlineError `invalid`, with the field at fault as `param` */
export function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  { what = 'body', noun = 'field' } = {},
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // What is misspelt comes first: it is also why another field seems to be missing.
  const issues = parsed.error.issues.toSorted((a, b) => Number(isUnknown(b)) - Number(isUnknown(a)));
  const problems = issues.flatMap((issue) => problemsOf(issue, schema, what, noun));
  const { param, message } = problems[0]!;
  const details = problems.length > 1 ? { problems: problems.slice(0, MOST_PROBLEMS) } : {};
  throw new WarmlineError('invalid', message, param === '' ? { details } : { param, details });
}

/** The query of a URL; a name that is given twice is a list, and no list is asked for. */
export const parseQuery = <Schema extends z.ZodType>(schema: Schema, value: unknown) =>
  parse(schema, value, { what: 'query', noun: 'parameter' });

const MOST_PROBLEMS = 20;
const isUnknown = ({ code }: z.core.$ZodIssue) => code === 'unrecognized_keys';
type Problem = { param: string; message: string };

function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodType, what: string, noun: string): Problem[] {
  const param = issue.path.join('.');
  if (issue.code !== 'unrecognized_keys') {
    const must = `the ${what} must be a JSON object`;
    return [{ param, message: param === '' ? must : `${param} ${issue.message}` }];
  }
  const known = issue.path.length === 0 && schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const advice = known.length > 0 ? `known are ${known.join(', ')}` : 'leave it out';
  return issue.keys.map((key) => ({
    param: [...issue.path, shorten(key)].join('.'),
    message: `there is no ${noun} ${shown(key)}${param === '' ? '' : ` in ${param}`}; ${advice}`,
  }));
}

const LONGEST_SHOWN = 60;
const shorten = (text: string) =>
  text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN - 1)}…`;

/** A value as it was written, short enough for a sentence. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return shorten(JSON.stringify(value));
}

/** What a field must be; said together with what it is. */
const mustBe = (rule: string) => ({
  error: ({ input }: { input?: unknown }) =>
    input === undefined ? `is missing; it must be ${rule}` : `is ${shown(input)}; it must be ${rule}`,
});

export function wholeNumber(least: number, most: number) {
  const rule = mustBe(`a whole number from ${least} to ${most}`);
  return z.number(rule).int(rule).min(least, rule).max(most, rule);
}

/** A number in a query, where everything is text. */
export function wholeNumberText(least: number, most: number) {
  const rule = mustBe(`a whole number from ${least} to ${most}`);
  return z
    .string(rule)
    .regex(/^\d{1,10}$/, rule)
    .transform(Number)
    .refine((value) => value >= least && value <= most, rule)
    .meta({ type: 'integer', minimum: least, maximum: most });
}

export function text(most = 255) {
  const rule = mustBe(`a text of 1 to ${most} characters`);
  return z.string(rule).min(1, rule).max(most, rule);
}

/** A text whose own rules are checked further in, with a sentence of their own. */
export const anyText = (what: string) => z.string(mustBe(what)).max(1000, mustBe(what));

export const flag = () => z.boolean(mustBe('true or false'));

export const share = () => {
  const rule = mustBe('a number from 0 to 1');
  return z.number(rule).min(0, rule).max(1, rule);
};

export const oneOf = <const Values extends readonly string[]>(values: Values) =>
  z.enum(values, mustBe(`one of ${values.join(', ')}`));

export function list<Item extends z.ZodType>(item: Item, most: number, of: string) {
  const rule = mustBe(`a list of 1 to ${most} ${of}`);
  const length = { error: () => `has the wrong length; it must be a list of 1 to ${most} ${of}` };
  return z.array(item, rule).min(1, length).max(most, length);
}

/** An object of texts, under names that are checked further in. */
export const texts = () =>
  z.record(
    z.string(),
    z.string(mustBe('a text')).max(1000, mustBe('a text of at most 1000 characters')),
    mustBe('an object of texts (example: {"team": "billing"})'),
  );

export const matching = (pattern: RegExp, rule: string) =>
  z.string(mustBe(rule)).regex(pattern, mustBe(rule));

/** An instant with its zone, as milliseconds: without one it would depend on whoever reads it. */
export const instantMs = () => {
  const rule = mustBe('an ISO 8601 instant with Z or an offset (example: 2026-01-10T10:00:00Z)');
  return z
    .string(rule)
    .refine((written) => Number.isFinite(readInstant(written)), rule)
    .transform(readInstant)
    .meta({ format: 'date-time' });
};

function readInstant(written: string): number {
  const hasZone = /^\d{4}-\d\d-\d\dT\d\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)$/i.test(written);
  const ms =
    hasZone && written.length <= 40 ? DateTime.fromISO(written, { setZone: true }).toMillis() : Number.NaN;
  return ms >= 0 ? ms : Number.NaN;
}

/** An instant as both dialects' documents write it: UTC, and no fraction where there is none. */
export const instant = (ms: number) => new Date(ms).toISOString().replace('.000Z', 'Z');
export const instantOrNull = (ms: number | null | undefined) => (ms == null ? null : instant(ms));
