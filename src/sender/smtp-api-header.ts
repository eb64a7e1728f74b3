/**
 * `X-SMTPAPI: {"ip_pool": "marketing", ...}`: which pool a message wants. The key is for us and is cut out; everything else
 * in the header is for somebody else and stays as it was, to the byte.
 */
import type { MailMessage } from 'nodemailer';
import { invalid } from '../warmup/errors.ts';

const HEADER = 'X-SMTPAPI';

/**
 * The pool that the message names, or `null`. Takes the key out of the message.
 * @throws WarmlineError `invalid` (param `ip_pool`) when it names something that cannot be a pool, or two pools
 */
export function takeIpPool(mail: MailMessage): string | null {
  const values = headerValues(mail);
  const kept: unknown[] = [];
  let named: string | null = null;
  for (const value of values) {
    const text = textOf(value);
    const asked = text === null ? undefined : ipPoolOf(text);
    if (text === null || asked === undefined) {
      kept.push(value);
      continue;
    }
    const pool = checkPool(asked);
    if (named !== null && named !== pool) {
      throw invalid('ip_pool', `two ${HEADER} headers name the pools "${named}" and "${pool}"; name one`);
    }
    named = pool;
    const rest = withoutMember(text, 'ip_pool');
    if (rest !== null) kept.push(typeof value === 'string' ? rest : { ...(value as object), value: rest });
  }
  if (named !== null) replaceHeader(mail, kept);
  return named;
}

function checkPool(asked: unknown): string {
  if (typeof asked !== 'string' || asked === '') {
    throw invalid(
      'ip_pool',
      `${HEADER} has ip_pool ${JSON.stringify(asked)}; it must be the name or id of a pool`,
    );
  }
  return asked;
}

/** All values of the header. `headers` may be an object or a list, with any case, and a value may be a list or prepared. */
function headerValues(mail: MailMessage): unknown[] {
  // What goes out is in the message: a plugin may have put something else there than the caller gave.
  const first: unknown = mail.message?.getHeader(HEADER);
  if (first === undefined) return [];
  const { headers } = mail.data;
  const entries: [string, unknown][] = Array.isArray(headers)
    ? headers.map(({ key, value }) => [key, value])
    : Object.entries(headers ?? {});
  const given = entries.filter(([key]) => isHeader(key)).flatMap(([, value]) => value);
  return given.includes(first) ? given : [first];
}

/** As Nodemailer reads a name: without the characters that a name cannot have. */
const isHeader = (key: string) =>
  String(key)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is dropped
    .replace(/[\s\x00-\x20\x7f:]/g, '')
    .toUpperCase() === HEADER;

function textOf(value: unknown): string | null {
  const text = typeof value === 'object' && value !== null && 'value' in value ? value.value : value;
  // A folded line goes on after a line break and a blank; only the line break is not part of the value.
  return typeof text === 'string' ? text.replace(/\r?\n(?=[ \t])/g, '') : null;
}

/** `undefined` when there is no such key, or this is no JSON object: then it is none of our business. */
function ipPoolOf(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed);
    return isObject && Object.hasOwn(parsed, 'ip_pool')
      ? (parsed as { ip_pool: unknown }).ip_pool
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Cuts a member out of the text of a JSON object. Reading and writing it anew would change what JSON.parse cannot hold,
 * such as an id of 20 digits.
 * @returns `null` when nothing else is in it
 */
function withoutMember(json: string, name: string): string | null {
  const members: string[] = [];
  let [depth, from, open, close, inString] = [0, 0, 0, 0, false];
  for (let at = 0; at < json.length; at += 1) {
    const char = json[at];
    if (inString) {
      if (char === '\\') at += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') {
      inString = true;
    } else if (char === '{' || char === '[') {
      depth += 1;
      if (depth === 1) [open, from] = [at, at + 1];
    } else if (char === '}' || char === ']') {
      depth -= 1;
      if (depth === 0) close = at;
    }
    if (!inString && ((char === ',' && depth === 1) || (char === '}' && depth === 0))) {
      members.push(json.slice(from, at));
      from = at + 1;
    }
  }
  const others = members.filter((member) => nameOf(member) !== name);
  return others.length === 0 ? null : json.slice(0, open + 1) + others.join(',') + json.slice(close);
}

const nameOf = (member: string) => JSON.parse(/^\s*("(?:[^"\\]|\\.)*")/.exec(member)![1]!) as string;

function replaceHeader({ message }: MailMessage, values: readonly unknown[]): void {
  // Nodemailer leaves an empty header out.
  message?.setHeader(HEADER, (values[0] ?? '') as string);
  for (const value of values.slice(1)) message?.addHeader(HEADER, value as string);
}
