import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { DateTime, Duration } from 'luxon';
import { z } from 'zod';
import type { RedisTls } from '../redis/connect.ts';
import { nodeUrls } from '../redis/node-urls.ts';

/**
 * The environment, read once and believed from then on. Whoever deploys learns about every mistake at once, each in one
 * sentence with the variable, the value and an example. What is empty or blank counts as not set, as compose files and unit
 * files cannot easily unset a variable.
 */
export interface Config {
  /** `REDIS_URL`: none (the embedded Redis), one, or the nodes of a cluster. */
  readonly redisUrls: readonly string[];
  /** What the PEM files hold that `REDIS_CA`, `REDIS_CERT` and `REDIS_KEY` name; null for none. */
  readonly redisTls: Readonly<RedisTls> | null;
  /** `HOST`: where the API listens; 127.0.0.1 unless said, so that nobody is exposed by a default. */
  readonly host: string;
  /** `PORT`: 8080 unless said; 0 takes any free one. */
  readonly port: number;
  /** `WARMLINE_API_KEY`: an admin key of the account `default`; null means that one is made and kept in the data dir. */
  readonly apiKey: string | null;
  /** `WARMLINE_DATA_DIR`: absolute; `.warmline` in the current folder unless said. */
  readonly dataDir: string;
  /** `WARMLINE_COOLDOWN`: how long a released address rests; 30 days unless said. */
  readonly cooldownMs: number;
  /** `WARMLINE_INVENTORY`: addresses and CIDRs as written; whoever adds them checks them. */
  readonly inventory: readonly string[];
  /** `WARMLINE_QUIET`: how long the API goes on answering once it was told to stop, while `/readyz` says 503; 0 unless said. */
  readonly quietMs: number;
  /** `WARMLINE_SCHEDULES`: absolute; a folder with schedules of the operator's own. */
  readonly schedulesDir: string | null;
  /** `WARMLINE_RATE_LIMIT`: HTTP requests per minute and key; 600 unless said, 0 for no limit. */
  readonly rateLimitPerMinute: number;
  /** `WARMLINE_TEST_CLOCK`: the first instant of a new database on a test clock; null for real time. */
  readonly testClockMs: number | null;
  /** `METRICS_HOST` and `METRICS_PORT`: one more place for `/metrics` alone, without a key; null for none. */
  readonly metrics: { readonly host: string; readonly port: number } | null;
  /** `WARMLINE_WEBHOOK_PRIVATE`: webhooks may go to private addresses, and without TLS. */
  readonly webhooksMayBePrivate: boolean;
  /** `LOG_LEVEL`: info unless said. */
  readonly logLevel: LogLevel;
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export class ConfigError extends Error {
  readonly code = 'config';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const given = VARIABLES.flatMap((name) => {
    const value = env[name]?.trim();
    return value ? [[name, value]] : [];
  });
  const read = Environment.safeParse(Object.fromEntries(given));
  if (!read.success) {
    throw new ConfigError(read.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`));
  }
  const found = read.data;
  return Object.freeze({
    redisUrls: Object.freeze(found.REDIS_URL),
    redisTls: tlsOf(found.REDIS_CA, found.REDIS_CERT, found.REDIS_KEY),
    host: found.HOST,
    port: found.PORT,
    apiKey: found.WARMLINE_API_KEY,
    dataDir: found.WARMLINE_DATA_DIR,
    cooldownMs: found.WARMLINE_COOLDOWN,
    inventory: Object.freeze(found.WARMLINE_INVENTORY),
    quietMs: found.WARMLINE_QUIET,
    schedulesDir: found.WARMLINE_SCHEDULES,
    rateLimitPerMinute: found.WARMLINE_RATE_LIMIT,
    testClockMs: found.WARMLINE_TEST_CLOCK,
    metrics:
      found.METRICS_PORT === null
        ? null
        : Object.freeze({ host: found.METRICS_HOST, port: found.METRICS_PORT }),
    webhooksMayBePrivate: found.WARMLINE_WEBHOOK_PRIVATE,
    logLevel: found.LOG_LEVEL,
  });
}

const MINUTE_MS = 60_000;
/** No load balancer looks less often, and a supervisor that waits longer is hard to find. */
const LONGEST_QUIET_MS = 5 * MINUTE_MS;
/** Ten years: a longer rest is a slip of the pen (P30Y for P30D), and nobody would notice it for years. */
const LONGEST_COOLDOWN_MS = 10 * 365 * 24 * 60 * MINUTE_MS;

/** A variable that is read by a function, which answers with the value or with what is wrong with it. */
function variable<Value, Default>(otherwise: Default, parse: (text: string) => Value | Problem) {
  return z
    .string()
    .transform((text, context) => {
      const value = parse(text);
      if (!(value instanceof Problem)) return value;
      context.addIssue({ code: 'custom', message: value.message });
      return z.NEVER;
    })
    .optional()
    .transform((value) => value ?? otherwise);
}

class Problem {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

const Environment = z
  .object({
    REDIS_URL: variable([] as string[], redisUrls),
    REDIS_CA: variable(null as string | null, pemFile),
    REDIS_CERT: variable(null as string | null, pemFile),
    REDIS_KEY: variable(null as string | null, pemFile),
    HOST: variable('127.0.0.1', host),
    PORT: variable(8080, port),
    METRICS_HOST: variable('127.0.0.1', host),
    METRICS_PORT: variable(null as number | null, port),
    WARMLINE_API_KEY: variable(null, apiKey),
    WARMLINE_DATA_DIR: variable(resolve('.warmline'), (text) => resolve(text)),
    WARMLINE_COOLDOWN: variable(30 * 24 * 60 * MINUTE_MS, cooldown),
    WARMLINE_INVENTORY: variable([] as string[], (text) =>
      text.split(/[\s,]+/).filter((item) => item !== ''),
    ),
    WARMLINE_QUIET: variable(0, quiet),
    WARMLINE_SCHEDULES: variable(null, (text) => resolve(text)),
    WARMLINE_RATE_LIMIT: variable(600, (text) =>
      isWhole(text, 1_000_000_000)
        ? Number(text)
        : new Problem(
            `"${text}" is not a whole number of requests per minute (example: 600, or 0 for no limit).`,
          ),
    ),
    WARMLINE_TEST_CLOCK: variable(null, instant),
    WARMLINE_WEBHOOK_PRIVATE: variable(false, (text) =>
      ['allow', 'refuse'].includes(text)
        ? text === 'allow'
        : new Problem(`"${text}" is neither "allow" nor "refuse" (without it they are refused).`),
    ),
    LOG_LEVEL: variable('info' as LogLevel, (text) => {
      const level = LOG_LEVELS.find((known) => known === text.toLowerCase());
      return level ?? new Problem(`"${text}" is not a log level (one of: ${LOG_LEVELS.join(', ')}).`);
    }),
  })
  .superRefine((found, context) => {
    const [cert, key] = [found.REDIS_CERT !== null, found.REDIS_KEY !== null];
    if (cert !== key) {
      const [given, missing] = cert ? ['REDIS_CERT', 'REDIS_KEY'] : ['REDIS_KEY', 'REDIS_CERT'];
      const message = `a certificate and its key go together, and only ${given} is set; set ${missing} too.`;
      context.addIssue({ code: 'custom', path: [missing], message });
    }
    const usesTls = found.REDIS_URL[0]?.startsWith('rediss:') ?? false;
    for (const name of ['REDIS_CA', 'REDIS_CERT', 'REDIS_KEY'] as const) {
      if (found[name] === null || usesTls) continue;
      const message = 'it is for TLS, and REDIS_URL does not begin with rediss://; change one of the two.';
      context.addIssue({ code: 'custom', path: [name], message });
    }
  })
  .superRefine((found, context) => {
    if (found.WARMLINE_TEST_CLOCK === null || found.REDIS_URL.length < 2) return;
    const message = `a test clock needs a single Redis, and REDIS_URL names ${found.REDIS_URL.length} nodes of a cluster.`;
    context.addIssue({ code: 'custom', path: ['WARMLINE_TEST_CLOCK'], message });
  });

/** The names of all that is read. */
export const VARIABLES: readonly string[] = Object.keys(Environment.shape);

const REDIS_EXAMPLE = '(example: redis://:password@10.0.0.5:6379)';

/** What may hold a password is never shown: neither is any part of it, as a comma or slash in it makes parts of one value. */
function redisUrls(text: string): string[] | Problem {
  const urls = nodeUrls(text);
  const shown = (url: string) => (text.includes('@') ? '(not shown, as it holds a password)' : `"${url}"`);
  const advice = text.includes('@')
    ? '; special characters in a password are written percent-encoded, a comma as %2C'
    : '';
  for (const url of urls) {
    const parsed = URL.canParse(url) ? new URL(url) : null;
    const isRedis = parsed?.protocol === 'redis:' || parsed?.protocol === 'rediss:';
    if (parsed === null || !isRedis || parsed.hostname === '') {
      return new Problem(
        `${shown(url)} is not a redis:// or rediss:// URL with a host ${REDIS_EXAMPLE}${advice}.`,
      );
    }
    if (!/^\/?\d*$/.test(parsed.pathname)) {
      return new Problem(
        `${shown(url)} names a database that is not a number (example: redis://10.0.0.5:6379/2).`,
      );
    }
    if (urls.length > 1 && !/^\/?0?$/.test(parsed.pathname)) {
      return new Problem(
        `${shown(url)} names a database, and a cluster has only database 0 ${REDIS_EXAMPLE}.`,
      );
    }
  }
  if (urls.length === 0) return new Problem(`"${text}" names no Redis ${REDIS_EXAMPLE}.`);
  if (new Set(urls.map((url) => new URL(url).protocol)).size > 1) {
    return new Problem('the nodes of a cluster are all redis:// or all rediss://, not some of each.');
  }
  if (
    new Set(urls.map((url) => new URL(url)).map(({ username, password }) => `${username}:${password}`)).size >
    1
  ) {
    return new Problem(
      'the nodes of a cluster all have the same user and password; give them with the first node alone, and write a comma in a password as %2C.',
    );
  }
  return urls;
}

/** Read at the start and kept: a new certificate needs a new process. What a file holds is never shown. */
function pemFile(path: string): string | Problem {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return new Problem(
      `"${path}" cannot be read (${(error as NodeJS.ErrnoException).code}); name a file in PEM form.`,
    );
  }
  return text.includes('-----BEGIN ')
    ? text
    : new Problem(`"${path}" is not in PEM form: it has no line that begins with -----BEGIN.`);
}

const tlsOf = (ca: string | null, cert: string | null, key: string | null): Readonly<RedisTls> | null =>
  (ca ?? cert) === null
    ? null
    : Object.freeze({ ...(ca !== null && { ca }), ...(cert !== null && key !== null && { cert, key }) });

function host(text: string): string | Problem {
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (isIP(bare) > 0) return bare;
  // Digits and dots alone are an address with a mistake in it, not a name.
  const isName = /^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$/i.test(bare) && !/^[\d.]+$/.test(bare);
  return isName
    ? bare
    : new Problem(
        `"${text}" is not an IP address or host name to listen on (example: 0.0.0.0); the port is in PORT.`,
      );
}

function port(text: string): number | Problem {
  return isWhole(text, 65_535)
    ? Number(text)
    : new Problem(`"${text}" is not a whole number from 0 to 65535 (example: 8080).`);
}

function apiKey(text: string): string | Problem {
  const example = '(example of a good one: the output of `openssl rand -hex 24`)';
  if (!/^[\x21-\x7e]+$/.test(text)) {
    return new Problem(`it holds blanks or letters that do not fit into an HTTP header ${example}.`);
  }
  if (text.length < 20)
    return new Problem(`it has ${text.length} characters and needs 20 or more ${example}.`);
  return text;
}

function cooldown(text: string): number | Problem {
  const ms = Duration.fromISO(text).toMillis();
  if (!Number.isFinite(ms)) return new Problem(`"${text}" is not an ISO 8601 duration (example: P30D).`);
  if (ms < MINUTE_MS) return new Problem(`"${text}" is shorter than a minute (the shortest is PT1M).`);
  if (ms > LONGEST_COOLDOWN_MS) return new Problem(`"${text}" is longer than ten years (example: P30D).`);
  return Math.round(ms);
}

function quiet(text: string): number | Problem {
  const ms = Duration.fromISO(text).toMillis();
  if (!Number.isFinite(ms) || ms < 0)
    return new Problem(`"${text}" is not an ISO 8601 duration (example: PT10S).`);
  if (ms > LONGEST_QUIET_MS) return new Problem(`"${text}" is longer than five minutes (example: PT10S).`);
  return Math.round(ms);
}

function instant(text: string): number | Problem {
  // Without a zone the instant would depend on the machine, which is what a test clock is there to prevent.
  const hasZone = /T.*(Z|[+-]\d\d(:?\d\d)?)$/i.test(text);
  const ms = DateTime.fromISO(text, { setZone: true }).toMillis();
  return hasZone && ms >= 0
    ? ms
    : new Problem(
        `"${text}" is not an ISO 8601 instant with Z or an offset (example: 2026-01-10T10:00:00Z).`,
      );
}

function isWhole(text: string, most: number): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= most;
}
