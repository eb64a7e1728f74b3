import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError, readConfig } from '../../src/runtime/config.ts';

/** Whoever deploys Warmline reads these sentences, all of them at once, and never a secret among them. */

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('a configuration', () => {
  test('needs nothing', () => {
    expect(readConfig({})).toEqual({
      redisUrls: [],
      redisTls: null,
      host: '127.0.0.1',
      port: 8080,
      apiKey: null,
      dataDir: resolve('.warmline'),
      cooldownMs: 30 * 24 * 60 * 60 * 1000,
      inventory: [],
      schedulesDir: null,
      rateLimitPerMinute: 600,
      quietMs: 0,
      testClockMs: null,
      metrics: null,
      webhooksMayBePrivate: false,
      logLevel: 'info',
    });
  });

  test('takes what is empty or blank as not set', () => {
    const names = [
      'REDIS_URL',
      'HOST',
      'PORT',
      'WARMLINE_API_KEY',
      'WARMLINE_COOLDOWN',
      'WARMLINE_TEST_CLOCK',
      'LOG_LEVEL',
    ];
    expect(readConfig(Object.fromEntries(names.map((name, index) => [name, ' '.repeat(index % 2)])))).toEqual(
      readConfig({}),
    );
  });

  test('cannot be changed afterwards', () => {
    const config = readConfig({ WARMLINE_INVENTORY: '203.0.113.7' });
    expect([config, config.inventory, config.redisUrls].map(Object.isFrozen)).toEqual([true, true, true]);
  });

  test.each([
    [
      'one Redis',
      { REDIS_URL: 'redis://u:p%2C@10.0.0.5:6379/2' },
      { redisUrls: ['redis://u:p%2C@10.0.0.5:6379/2'] },
    ],
    [
      'a cluster',
      { REDIS_URL: 'rediss://a:1, rediss://b:2/0,' },
      { redisUrls: ['rediss://a:1', 'rediss://b:2/0'] },
    ],
    [
      'a cluster whose nodes are like the first',
      { REDIS_URL: 'redis://u:p%2C@a:1, b:2,redis://c:3,[::1]:4' },
      {
        redisUrls: [
          'redis://u:p%2C@a:1',
          'redis://u:p%2C@b:2',
          'redis://u:p%2C@c:3',
          'redis://u:p%2C@[::1]:4',
        ],
      },
    ],
    ['an IPv6 host', { HOST: '[::1]' }, { host: '::1' }],
    ['any host', { HOST: '::' }, { host: '::' }],
    ['a name', { HOST: 'mail-1.example.com' }, { host: 'mail-1.example.com' }],
    ['any free port', { PORT: '0' }, { port: 0 }],
    ['the highest port', { PORT: ' 65535 ' }, { port: 65_535 }],
    ['a key of 20', { WARMLINE_API_KEY: '01234567890123456789' }, { apiKey: '01234567890123456789' }],
    ['a folder', { WARMLINE_DATA_DIR: 'here' }, { dataDir: resolve('here') }],
    ['schedules', { WARMLINE_SCHEDULES: '/etc/warmline' }, { schedulesDir: '/etc/warmline' }],
    ['a place for metrics', { METRICS_PORT: '9464' }, { metrics: { host: '127.0.0.1', port: 9464 } }],
    [
      'a place for metrics on another address',
      { METRICS_PORT: '9464', METRICS_HOST: '10.0.0.5' },
      { metrics: { host: '10.0.0.5', port: 9464 } },
    ],
    ['private webhooks', { WARMLINE_WEBHOOK_PRIVATE: 'allow' }, { webhooksMayBePrivate: true }],
    ['the shortest cooldown', { WARMLINE_COOLDOWN: 'PT1M' }, { cooldownMs: 60_000 }],
    ['weeks', { WARMLINE_COOLDOWN: 'P2W' }, { cooldownMs: 14 * 86_400_000 }],
    ['a part of a minute', { WARMLINE_COOLDOWN: 'PT1.5M' }, { cooldownMs: 90_000 }],
    [
      'addresses',
      { WARMLINE_INVENTORY: '203.0.113.0/28, 2001:db8::5\n198.51.100.7' },
      { inventory: ['203.0.113.0/28', '2001:db8::5', '198.51.100.7'] },
    ],
    ['a time of quiet', { WARMLINE_QUIET: 'PT12.5S' }, { quietMs: 12_500 }],
    ['no rate limit', { WARMLINE_RATE_LIMIT: '0' }, { rateLimitPerMinute: 0 }],
    [
      'an instant',
      { WARMLINE_TEST_CLOCK: '2026-01-10T10:00:00Z' },
      { testClockMs: Date.UTC(2026, 0, 10, 10) },
    ],
    [
      'an offset',
      { WARMLINE_TEST_CLOCK: '2026-01-10T10:00:00.5+02:00' },
      { testClockMs: Date.UTC(2026, 0, 10, 8, 0, 0, 500) },
    ],
    ['a level', { LOG_LEVEL: 'DEBUG' }, { logLevel: 'debug' }],
  ])('accepts %s', (_, env, found) => {
    expect(readConfig(env)).toMatchObject(found);
  });

  test.each([
    [
      'REDIS_URL',
      'localhost:6379',
      '"localhost:6379" is not a redis:// or rediss:// URL with a host (example: redis://:password@10.0.0.5:6379).',
    ],
    [
      'REDIS_URL',
      'http://localhost',
      '"http://localhost" is not a redis:// or rediss:// URL with a host (example: redis://:password@10.0.0.5:6379).',
    ],
    [
      'REDIS_URL',
      'redis://',
      '"redis://" is not a redis:// or rediss:// URL with a host (example: redis://:password@10.0.0.5:6379).',
    ],
    [
      'REDIS_URL',
      'redis://h:99999',
      '"redis://h:99999" is not a redis:// or rediss:// URL with a host (example: redis://:password@10.0.0.5:6379).',
    ],
    [
      'REDIS_URL',
      'redis://h/mail',
      '"redis://h/mail" names a database that is not a number (example: redis://10.0.0.5:6379/2).',
    ],
    [
      'REDIS_URL',
      'redis://a/1,redis://b/1',
      '"redis://a/1" names a database, and a cluster has only database 0 (example: redis://:password@10.0.0.5:6379).',
    ],
    [
      'REDIS_URL',
      'redis://a,rediss://b',
      'the nodes of a cluster are all redis:// or all rediss://, not some of each.',
    ],
    [
      'REDIS_URL',
      'redis://:one@a,redis://:two@b',
      'the nodes of a cluster all have the same user and password; give them with the first node alone, and write a comma in a password as %2C.',
    ],
    ['REDIS_URL', ',', '"," names no Redis (example: redis://:password@10.0.0.5:6379).'],
    [
      'HOST',
      'localhost:8080',
      '"localhost:8080" is not an IP address or host name to listen on (example: 0.0.0.0); the port is in PORT.',
    ],
    [
      'HOST',
      '10.0.0.256',
      '"10.0.0.256" is not an IP address or host name to listen on (example: 0.0.0.0); the port is in PORT.',
    ],
    ['PORT', '80a', '"80a" is not a whole number from 0 to 65535 (example: 8080).'],
    ['PORT', '65536', '"65536" is not a whole number from 0 to 65535 (example: 8080).'],
    ['PORT', '-1', '"-1" is not a whole number from 0 to 65535 (example: 8080).'],
    ['PORT', '1e3', '"1e3" is not a whole number from 0 to 65535 (example: 8080).'],
    [
      'WARMLINE_API_KEY',
      'short',
      'it has 5 characters and needs 20 or more (example of a good one: the output of `openssl rand -hex 24`).',
    ],
    [
      'WARMLINE_API_KEY',
      'a key with blanks in it, and long',
      'it holds blanks or letters that do not fit into an HTTP header (example of a good one: the output of `openssl rand -hex 24`).',
    ],
    ['WARMLINE_COOLDOWN', '30 days', '"30 days" is not an ISO 8601 duration (example: P30D).'],
    ['WARMLINE_COOLDOWN', 'PT59S', '"PT59S" is shorter than a minute (the shortest is PT1M).'],
    ['WARMLINE_COOLDOWN', '-P1D', '"-P1D" is shorter than a minute (the shortest is PT1M).'],
    ['WARMLINE_COOLDOWN', 'P30Y', '"P30Y" is longer than ten years (example: P30D).'],
    ['WARMLINE_QUIET', '10', '"10" is not an ISO 8601 duration (example: PT10S).'],
    ['WARMLINE_QUIET', 'PT6M', '"PT6M" is longer than five minutes (example: PT10S).'],
    [
      'WARMLINE_RATE_LIMIT',
      'off',
      '"off" is not a whole number of requests per minute (example: 600, or 0 for no limit).',
    ],
    [
      'WARMLINE_TEST_CLOCK',
      '2026-01-10T10:00:00',
      '"2026-01-10T10:00:00" is not an ISO 8601 instant with Z or an offset (example: 2026-01-10T10:00:00Z).',
    ],
    [
      'WARMLINE_TEST_CLOCK',
      '2026-02-30T10:00:00Z',
      '"2026-02-30T10:00:00Z" is not an ISO 8601 instant with Z or an offset (example: 2026-01-10T10:00:00Z).',
    ],
    [
      'WARMLINE_TEST_CLOCK',
      'tomorrow',
      '"tomorrow" is not an ISO 8601 instant with Z or an offset (example: 2026-01-10T10:00:00Z).',
    ],
    [
      'LOG_LEVEL',
      'loud',
      '"loud" is not a log level (one of: fatal, error, warn, info, debug, trace, silent).',
    ],
  ])('refuses %s=%s in one sentence', (name, value, sentence) => {
    expect(problemsOf({ [name]: value })).toEqual([`${name}: ${sentence}`]);
  });

  test('tells all that is wrong at once', () => {
    const problems = problemsOf({ PORT: 'x', WARMLINE_COOLDOWN: 'x', LOG_LEVEL: 'x', HOST: 'fine' });
    expect(problems.map((problem) => problem.split(':')[0])).toEqual([
      'PORT',
      'WARMLINE_COOLDOWN',
      'LOG_LEVEL',
    ]);
  });

  test('takes certificates for TLS as files, a certificate only with its key', () => {
    const dir = mkdtempSync(join(tmpdir(), 'warmline-config-'));
    try {
      const [pem, text] = [join(dir, 'ca.pem'), join(dir, 'ca.txt')];
      writeFileSync(pem, '-----BEGIN CERTIFICATE-----\n');
      writeFileSync(text, 'geheim');
      const REDIS_URL = 'rediss://a';
      const PEM = '-----BEGIN CERTIFICATE-----\n';
      expect(readConfig({ REDIS_URL, REDIS_CA: pem }).redisTls).toEqual({ ca: PEM });
      expect(readConfig({ REDIS_URL, REDIS_CERT: pem, REDIS_KEY: pem }).redisTls).toEqual({
        cert: PEM,
        key: PEM,
      });
      expect(problemsOf({ REDIS_URL, REDIS_CA: text })).toEqual([
        `REDIS_CA: "${text}" is not in PEM form: it has no line that begins with -----BEGIN.`,
      ]);
      expect(problemsOf({ REDIS_URL, REDIS_CA: join(dir, 'none') })).toEqual([
        `REDIS_CA: "${join(dir, 'none')}" cannot be read (ENOENT); name a file in PEM form.`,
      ]);
      expect(problemsOf({ REDIS_URL, REDIS_CERT: pem })).toEqual([
        'REDIS_KEY: a certificate and its key go together, and only REDIS_CERT is set; set REDIS_KEY too.',
      ]);
      expect(problemsOf({ REDIS_URL: 'redis://a', REDIS_CA: pem })).toEqual([
        'REDIS_CA: it is for TLS, and REDIS_URL does not begin with rediss://; change one of the two.',
      ]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test('has no test clock on a cluster', () => {
    expect(
      problemsOf({ REDIS_URL: 'redis://a,redis://b', WARMLINE_TEST_CLOCK: '2026-01-10T10:00:00Z' }),
    ).toEqual([
      'WARMLINE_TEST_CLOCK: a test clock needs a single Redis, and REDIS_URL names 2 nodes of a cluster.',
    ]);
  });

  test.each([
    ['redis://:geheim@h:99999'],
    ['redis://:ge,heim@h'],
    ['redis://:ge/heim@h'],
    ['redis://user:geheim@h/mail'],
    ['redis://:geheim@a/1,redis://b/1'],
    ['user:geheim@host'],
  ])('never shows the password in %s', (url) => {
    const [problem] = problemsOf({ REDIS_URL: url });
    expect(problem).toContain('REDIS_URL: (not shown, as it holds a password)');
    expect(problem).not.toMatch(/ge|heim/);
    expect(problemsOf({ WARMLINE_API_KEY: 'geheim' }).join()).not.toContain('geheim');
  });
});
