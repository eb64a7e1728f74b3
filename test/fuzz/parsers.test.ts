/**
 * Whoever reads what somebody else wrote answers with a value, or refuses in one sentence: no other error, and soon, also
 * where a pattern could be made to backtrack.
 */
import { createHash } from 'node:crypto';
import { CommanderError, InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import type { MailMessage } from 'nodemailer';
import { expect, test } from 'vitest';
import fourteenDay from '../../schedules/fourteen-day.ts';
import { BadSchedule, defineSchedule, type WarmupSchedule } from '../../schedules/schedule.ts';
import sendgridHourly from '../../schedules/sendgrid-hourly.ts';
import { wholeNumber as countOption } from '../../src/cli/client.ts';
import { dryRun } from '../../src/cli/dry-run.ts';
import { pathOf } from '../../src/cli/named.ts';
import { plain } from '../../src/cli/table.ts';
import { readBackup } from '../../src/fleet/backup/format.ts';
import { readCursor } from '../../src/http/cursor.ts';
import { createReceipts } from '../../src/http/receipts.ts';
import { pathOfV3 } from '../../src/http/v3/register.ts';
import { hideSecrets, nodeUrls } from '../../src/redis/node-urls.ts';
import { parseReceipt } from '../../src/redis/receipt.ts';
import { ConfigError, readConfig, VARIABLES } from '../../src/runtime/config.ts';
import { coverSecrets } from '../../src/runtime/log.ts';
import { takeIpPool } from '../../src/sender/smtp-api-header.ts';
import { canonicalAddress, expandAddresses } from '../../src/warmup/address.ts';
import { checkDayStartsAt, checkZone, parseStart } from '../../src/warmup/calendar.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';
import { buildPlan } from '../../src/warmup/plan.ts';
import { readExplain } from '../../src/wire/explain.ts';
import { readForecast } from '../../src/wire/forecast.ts';
import { parse, parseQuery } from '../../src/wire/parse.ts';
import { idOrAddress, REFUND_BODY, readTakes } from '../../src/wire/quota.ts';
import * as v1 from '../../src/wire/v1.ts';
import * as v3 from '../../src/wire/v3.ts';
import * as webhooks from '../../src/wire/webhooks.ts';
import { drawn } from '../support/drawn.ts';
import { TEXTS } from './hostile.ts';

const book = new Map([fourteenDay, sendgridHourly].map((one) => [one.id, one]));
const verify = createReceipts('a secret')('acct_1').verify;

/** Enough for the longest hostile text on a busy machine; what backtracks takes minutes. */
const SOON_MS = 2_000;

function messageWith(header: string) {
  let value: unknown = header;
  return {
    data: { headers: { 'X-SMTPAPI': header } },
    message: {
      getHeader: () => value,
      setHeader: (_: string, given: unknown) => {
        value = given;
      },
    },
  } as unknown as MailMessage;
}

const HEAD = {
  ...{ kind: 'head', format: 'warmline-account', version: 1, takenAtMs: 0, clock: 'real' },
  account: { id: 'acct_1', number: 1, name: 'acme', parentId: null, createdAtMs: 0 },
};

/** A backup as somebody writes it who knows how its checksum is made. */
function sealed(head: object, ...lines: string[]): string {
  const body = [JSON.stringify(head), ...lines].map((line) => `${line}\n`).join('');
  const sha256 = createHash('sha256').update(body).digest('hex');
  return `${body}${JSON.stringify({ kind: 'end', lines: body.split('\n').length - 1, sha256 })}\n`;
}

const OF_TEXT: Record<string, (text: string) => unknown> = {
  canonicalAddress: (text) => canonicalAddress(text),
  expandAddresses: (text) => expandAddresses(text.split(' ')),
  checkZone,
  checkDayStartsAt,
  'parseStart in UTC': (text) => parseStart(text, 'UTC'),
  'parseStart in Lord Howe': (text) => parseStart(text, 'Australia/Lord_Howe'),
  buildPlan: (text) => buildPlan(text, book),
  parseReceipt,
  readCursor,
  'verify a receipt': verify,
  idOrAddress: (text) => idOrAddress(text, 'ip'),
  labelWanted: (text) => v1.labelWanted(text || 'x')({ team: 'billing' }),
  checkIpv4: (text) => v3.checkIpv4(text),
  checkPoolId: (text) => v3.checkPoolId(text),
  pathOfV3,
  nodeUrls,
  hideSecrets,
  coverSecrets,
  'a name on the command line': pathOf,
  'a count on the command line': countOption,
  'a name in a table': plain,
  takeIpPool: (text) => takeIpPool(messageWith(text)),
  'takeIpPool in JSON': (text) => takeIpPool(messageWith(JSON.stringify({ ip_pool: text, [text]: 1 }))),
  readBackup,
  'readBackup, a line behind the checksum': (text) => readBackup(sealed(HEAD, text)),
  'readBackup, a record behind the checksum': (text) =>
    readBackup(sealed(HEAD, JSON.stringify({ kind: 'stop', record: text }))),
  'takeIpPool cut': (text) => takeIpPool(messageWith(`{"ip_pool":"a","b":"${text}"}`)),
};

for (const name of VARIABLES) OF_TEXT[`the variable ${name}`] = (text) => readConfig({ [name]: text });

const OF_JSON: Record<string, (value: unknown) => unknown> = {
  readTakes,
  readExplain,
  readForecast,
  'readBackup, its head': (value) =>
    readBackup(sealed({ ...HEAD, ...Object(value), format: HEAD.format, version: HEAD.version })),
  'readBackup, the account in its head': (value) => readBackup(sealed({ ...HEAD, account: value })),
  'readBackup, a line': (value) => readBackup(sealed(HEAD, JSON.stringify(value))),
  ...Object.fromEntries(
    ['subuser', 'stop', 'plan', 'pool', 'ip', 'key', 'webhook', 'change', 'end'].map((kind) => [
      `readBackup, a line of kind ${kind}`,
      (value: unknown) => readBackup(sealed(HEAD, JSON.stringify({ ...Object(value), kind }))),
    ]),
  ),
  refunds: (value) => parse(REFUND_BODY, value),
  defineSchedule: (value) =>
    defineSchedule({ id: 'x', title: 'x', source: 'x', daily: value } as WarmupSchedule),
};
for (const [room, shapes] of Object.entries({ v1, v3, webhooks })) {
  for (const [name, shape] of Object.entries(shapes as Record<string, unknown>)) {
    if (!/body$|query$/i.test(name) || typeof shape !== 'object') continue;
    const schema = shape as Parameters<typeof parse>[0];
    OF_JSON[`${room} ${name}`] = (value) =>
      room === 'v3'
        ? v3.readV3Body(schema, value)
        : name.endsWith('Query')
          ? parseQuery(schema, value)
          : parse(schema, value);
  }
}

/** A refusal for people: its kind is known, and it is one line. */
function isRefusal(error: unknown): boolean {
  if (error instanceof ConfigError) return error.problems.every((one) => !/[\r\n]/.test(withoutValue(one)));
  const known =
    error instanceof WarmlineError ||
    error instanceof BadSchedule ||
    error instanceof v3.V3Refusal ||
    error instanceof InvalidArgumentError ||
    error instanceof CommanderError;
  const { message } = error as Error;
  const isShort = !(error instanceof WarmlineError) || message.length <= 2_000;
  return known && isShort && message !== '' && !/[\r\n]/.test(withoutValue(message));
}
/** A value is shown as it was written, in quotes. */
const withoutValue = (sentence: string) => sentence.replace(/"[\s\S]*"/, '""');

function tried(name: string, read: () => unknown): void {
  const begunMs = performance.now();
  try {
    read();
  } catch (error) {
    if (!isRefusal(error)) throw new Error(`${name} threw what is no refusal`, { cause: error });
  }
  expect(performance.now() - begunMs, name).toBeLessThan(SOON_MS);
}

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom(...TEXTS),
  fc.ipV4(),
  fc.ipV6(),
  fc.tuple(fc.ipV4(), fc.nat(40)).map(([ip, bits]) => `${ip}/${bits}`),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.stringMatching(/^[A-Z0-9:+.{}"\\ ,/@-]{0,40}$/),
  fc.json(),
  fc.webUrl(),
  // One piece many times, with something that spoils it at the end.
  fc
    .tuple(
      fc.string({ minLength: 1, maxLength: 3 }),
      fc.integer({ min: 2, max: 9_000 }),
      fc.string({ maxLength: 2 }),
    )
    .map(([piece, times, end]) => piece.repeat(times) + end),
);

test.each(Object.entries(OF_TEXT))('%s reads any text', (name, read) => {
  for (const one of TEXTS) tried(name, () => read(one));
  fc.assert(
    fc.property(text, (one) => tried(name, () => read(one))),
    drawn(250),
  );
});

const value = fc.oneof(
  fc.jsonValue(),
  fc.object({
    maxDepth: 3,
    values: [fc.string(), fc.double(), fc.integer(), fc.boolean(), fc.constant(null)],
  }),
  fc.dictionary(
    fc.constantFrom('ip', 'pool', 'count', 'takes', 'among', 'name', 'ips', '__proto__', 'messages'),
    fc.jsonValue(),
  ),
);

test.each(Object.entries(OF_JSON))('%s reads any JSON', (name, read) => {
  fc.assert(
    fc.property(value, (one) => tried(name, () => read(one))),
    drawn(200),
  );
});

test('URLs that are shown have no password, also one that no URL may have', () => {
  const piece = fc.string({
    unit: fc.constantFrom('a', '7', '/', ',', '@', ':', '%', '?', ' ', '\n', 'é'),
    maxLength: 8,
  });
  fc.assert(
    fc.property(piece, piece, fc.constantFrom('', 'redis://', 'rediss://'), (before, after, next) => {
      const shown = hideSecrets(
        `redis://user:${before}SECRET${after}@h1:7000,${next}:${after}SECRET@h2:7001`,
      );
      expect(shown).toMatch(/^redis:\/\/….*@h2:7001$/);
      expect(shown).not.toContain('SECRET');
    }),
    drawn(300),
  );
  expect(hideSecrets('redis://:secret@h1:7000,h2:7001')).toBe('redis://…@h1:7000,h2:7001');
  expect(hideSecrets('redis://h1:7000,rediss://u:secret@h2')).toBe('redis://h1:7000,rediss://…@h2');
  expect(hideSecrets('redis://127.0.0.1:6379')).toBe('redis://127.0.0.1:6379');
});

test('there are schemas of every face to try', () => {
  expect(Object.keys(OF_JSON).length).toBeGreaterThan(20);
});

test('a backup with a true checksum is read line by line, so that its lines are what is tried', () => {
  expect(() => readBackup(sealed(HEAD, '{'))).toThrow(/^line 2 of the file cannot be read/);
});

test('every variable of the environment is tried', () => {
  expect(VARIABLES).toContain('WARMLINE_QUIET');
  for (const name of VARIABLES) expect(OF_TEXT).toHaveProperty([`the variable ${name}`]);
});

test('a dry run takes any options', async () => {
  const world = { nowMs: Date.UTC(2026, 0, 10), folder: null, colours: false };
  const options = fc.record(
    {
      plan: fc.oneof(text, fc.constantFrom('fourteen-day', 'sendgrid-hourly')),
      start: fc.oneof(text, fc.constant('2026-12-01T10:00')),
      zone: fc.oneof(text, fc.constantFrom('Europe/Berlin', 'Pacific/Apia')),
      dayStartsAt: fc.oneof(text, fc.constant('04:00')),
      volume: fc.oneof(text, fc.nat().map(String)),
      ips: fc.oneof(text, fc.nat().map(String)),
      json: fc.boolean(),
      csv: fc.boolean(),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(options, async (given) => {
      await dryRun(given, world).catch((error: unknown) => {
        if (!isRefusal(error)) throw error;
      });
    }),
    drawn(60),
  );
});
