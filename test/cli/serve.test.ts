import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../support/processes.ts';
import { startRedisServer } from '../support/redis-server.ts';
import { WARMLINE } from '../support/warmline.ts';

// The product as it is started: real processes, ended in every way a machine ends them.

const KEY = 'a-key-of-more-than-20-characters';
let dataDir: string;
const running: { kill(signal: NodeJS.Signals): boolean }[] = [];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'warmline-serve-'));
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
  rmSync(dataDir, { recursive: true, force: true });
});

/** What the API answers; each test knows the fields that it looks at. */
// biome-ignore lint/suspicious/noExplicitAny: naming the shape of every answer would say less than the expectations do
type Json = any;

type Running = {
  pid: number;
  url: string;
  ended: Promise<number | string>;
  stderr: () => string;
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: Json }>;
};

function launch(command: string, env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [WARMLINE, command], {
    env: {
      ...process.env,
      ...{ PORT: '0', LOG_LEVEL: 'info', WARMLINE_DATA_DIR: dataDir, WARMLINE_API_KEY: KEY },
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.push(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  return { child, ended, stdout: () => stdout, stderr: () => stderr };
}

/** Starts and waits until it answers; what it says when it does not start is in the error. */
async function serve(env: Record<string, string> = {}, command = 'serve'): Promise<Running> {
  const { child, ended, stdout, stderr } = launch(command, env);
  let exited = false;
  void ended.then(() => (exited = true));
  const address = () => /Warmline answers at (http:\/\/[^;"]+);/.exec(stdout())?.[1];
  await eventually(`it answers (${command})`, () => exited || address() !== undefined, 30_000);
  const url = address();
  if (!url) throw new Error(`it did not start: ${stderr()}`);
  return {
    pid: child.pid!,
    url,
    ended,
    stderr,
    async call(method, path, body) {
      const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' };
      const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
      const answer = await fetch(`${url}${path}`, init);
      const text = await answer.text();
      return { status: answer.status, body: text ? JSON.parse(text) : null };
    },
  };
}

const redisPid = () => (JSON.parse(readFileSync(join(dataDir, 'redis.json'), 'utf8')) as { pid: number }).pid;
const lives = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function oneWarmingIp(api: Running): Promise<string> {
  expect((await api.call('POST', '/v1/inventory', { addresses: ['203.0.113.7'] })).status).toBe(201);
  const { body } = await api.call('POST', '/v1/dedicated-ips');
  const { status } = await api.call('POST', `/v1/dedicated-ips/${body.id}/warmup`);
  expect(status).toBe(200);
  return body.id;
}

test('it answers /readyz with 200, without a key', async () => {
  const api = await serve();
  expect((await fetch(`${api.url}/readyz`)).status).toBe(200);
  expect((await fetch(`${api.url}/healthz`)).status).toBe(200);
});

describe.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)('ended by %s', (signal) => {
  test('Redis stops too, nothing acknowledged is lost, and the next start goes on', async () => {
    const first = await serve();
    const id = await oneWarmingIp(first);
    const taken = await first.call('POST', '/v1/quota/take', { ip: id, count: 7 });
    expect(taken.body.allowed).toBe(true);
    const redis = redisPid();
    process.kill(first.pid, signal);
    expect(await first.ended).toBe(signal === 'SIGKILL' ? 'SIGKILL' : 0);
    await eventually('Redis has stopped', () => !lives(redis));

    const next = await serve();
    const { body } = await next.call('GET', `/v1/dedicated-ips/${id}`);
    expect(body).toMatchObject({ status: 'warming', warmup: { usedToday: 7, remainingToday: 43 } });
  });
});

test('when its Redis is killed it says so and ends, and the next start has everything', async () => {
  const first = await serve();
  const id = await oneWarmingIp(first);
  process.kill(redisPid(), 'SIGKILL');
  expect(await first.ended).toBe(1);
  expect(first.stderr()).toContain('nothing may be sent without it');
  const next = await serve();
  expect((await next.call('GET', `/v1/dedicated-ips/${id}`)).body.status).toBe('warming');
});

test('when its Redis is killed it keeps no time of quiet, since nothing can be granted', async () => {
  const served = await serve({ WARMLINE_QUIET: 'PT5M' });
  process.kill(redisPid(), 'SIGKILL');
  // Within the nine seconds of every stop; the quiet alone would outlast the test.
  expect(await served.ended).toBe(1);
});

test('a second start on the same data dir says what is wrong, and the first goes on', async () => {
  const first = await serve();
  const second = launch('serve');
  expect(await second.ended).toBe(1);
  expect(second.stderr()).toContain(dataDir);
  expect(second.stderr()).toContain(String(first.pid));
  expect(second.stderr().trim().split('\n')).toHaveLength(1);
  expect((await fetch(`${first.url}/readyz`)).status).toBe(200);
});

test('the key is shown once, by the first start that answers, and kept for nobody else', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  const own = { WARMLINE_API_KEY: '' };
  const failed = launch('serve', { ...own, PORT: String(port) });
  expect(await failed.ended).toBe(1);
  expect(failed.stderr()).toBe(
    `warmline: 127.0.0.1:${port} is in use by another program; set PORT to another one (0 takes any)\n`,
  );
  other.close();

  const file = join(dataDir, 'api-key');
  const first = await serve(own);
  await eventually('the key is shown', () => first.stderr().includes('wl_'));
  expect(first.stderr()).toContain(readFileSync(file, 'utf8').trim());
  expect(statSync(file).mode & 0o777).toBe(0o600);
  process.kill(first.pid, 'SIGTERM');
  await first.ended;
  const kept = readFileSync(file, 'utf8');
  const second = await serve(own);
  process.kill(second.pid, 'SIGTERM');
  await second.ended;
  expect(second.stderr()).toBe('');
  expect(readFileSync(file, 'utf8')).toBe(kept);
});

test.each([
  ['HOST', { HOST: '203.0.113.99' }, /203\.0\.113\.99 is no address of this machine; set HOST/],
  ['WARMLINE_INVENTORY', { WARMLINE_INVENTORY: 'banana' }, /WARMLINE_INVENTORY: "banana" is not an IP/],
])('a %s that makes no sense here is named', async (_, env, sentence) => {
  const failed = launch('serve', env);
  expect(await failed.ended).toBe(1);
  expect(failed.stderr()).toMatch(sentence);
});

test('settings that make no sense are all named at once, with 2', async () => {
  const failed = launch('serve', { PORT: 'eighty', WARMLINE_COOLDOWN: 'a month' });
  expect(await failed.ended).toBe(2);
  expect(failed.stderr()).toMatch(/PORT[\s\S]*WARMLINE_COOLDOWN|WARMLINE_COOLDOWN[\s\S]*PORT/);
});

describe('with a Redis of the environment', () => {
  test('api and worker run apart, and the worker advances what the API moves the clock over', async () => {
    const redis = await startRedisServer({ config: ['--appendonly', 'yes'] });
    const env = { REDIS_URL: redis.url, WARMLINE_TEST_CLOCK: '2026-01-10T10:00:00Z' };
    const api = await serve(env, 'api');
    const id = await oneWarmingIp(api);
    await api.call('POST', '/v1/test-clock/advance', { by: 'P15D', work: false });
    expect((await api.call('GET', `/v1/dedicated-ips/${id}`)).body.status).toBe('warming');

    const worker = launch('worker', env);
    await eventually(
      'the worker made it active',
      async () => (await api.call('GET', `/v1/dedicated-ips/${id}`)).body.status === 'active',
    );
    process.kill(worker.child.pid!, 'SIGTERM');
    expect(await worker.ended).toBe(0);
    process.kill(api.pid, 'SIGTERM');
    expect(await api.ended).toBe(0);
    await redis.stop();
  });

  test('one that may evict keys is refused', async () => {
    const redis = await startRedisServer({ config: ['--maxmemory-policy', 'allkeys-lru'] });
    const failed = launch('serve', { REDIS_URL: redis.url });
    expect(await failed.ended).toBe(1);
    expect(failed.stderr()).toContain('maxmemory-policy is allkeys-lru');
    await redis.stop();
  });

  test('a database with a test clock is refused without the variable, and one without it refuses the variable', async () => {
    const redis = await startRedisServer();
    const onTestClock = await serve({ REDIS_URL: redis.url, WARMLINE_TEST_CLOCK: '2026-01-10T10:00:00Z' });
    process.kill(onTestClock.pid, 'SIGTERM');
    await onTestClock.ended;
    const failed = launch('serve', { REDIS_URL: redis.url });
    expect(await failed.ended).toBe(1);
    expect(failed.stderr()).toContain('made with a test clock');
    await redis.stop();

    const real = await startRedisServer();
    const onRealClock = await serve({ REDIS_URL: real.url });
    process.kill(onRealClock.pid, 'SIGTERM');
    await onRealClock.ended;
    const refused = launch('serve', { REDIS_URL: real.url, WARMLINE_TEST_CLOCK: '2026-01-10T10:00:00Z' });
    expect(await refused.ended).toBe(1);
    expect(refused.stderr()).toContain('runs on the real clock');
    await real.stop();
  });

  test('without one, api and worker say where they looked', async () => {
    const failed = launch('api');
    expect(await failed.ended).toBe(1);
    expect(failed.stderr()).toContain('set REDIS_URL');
  });
});

test('a fortnight on the test clock: every day in force in its turn, active once', async () => {
  const api = await serve({ WARMLINE_TEST_CLOCK: '2026-01-10T10:00:00Z' });
  const id = await oneWarmingIp(api);
  const limits: number[] = [];
  for (let day = 1; day <= 14; day += 1) {
    const { body } = await api.call('GET', `/v1/dedicated-ips/${id}/quota`);
    limits.push(body.day.limit);
    const { body: moved } = await api.call('POST', '/v1/test-clock/advance', { by: 'P1D' });
    expect(moved.changes).toHaveLength(day === 14 ? 1 : 0);
  }
  expect(limits).toEqual([
    50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000, 40_000, 70_000, 100_000, 150_000, -1,
  ]);
  expect((await api.call('GET', `/v1/dedicated-ips/${id}`)).body.status).toBe('active');
});
