import { Agent, request as ask } from 'node:http';
import { connect as dial } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readChanges } from '../../src/fleet/changes.ts';
import { startWarmup } from '../../src/fleet/ips.ts';
import { countDue, tickUntilDone } from '../../src/fleet/tick.ts';
import { unpackHot } from '../../src/redis/hot-record.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { eventually, startProgram } from '../support/processes.ts';
import { deploy, KEY, killAll } from './processes.ts';

// Real processes under load, told to stop at random moments: whatever was begun is answered, whatever was answered is in Redis,
// and nothing is in Redis that nobody was told of. WARMLINE_STOPS=50 tries that many moments.

const STOPS = Number(process.env.WARMLINE_STOPS ?? 1);
/** IPs whose warm-up is over at the same instant: half a second of work. */
const SWEPT = 500;
const CLOCK = '2026-03-02T09:00:00Z';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    clock: Date.parse(CLOCK),
    config: ['--appendonly', 'yes', '--appendfsync', 'always'],
  });
});
afterEach(killAll);
afterAll(() => fleet.stop());

const api = (env: NodeJS.ProcessEnv = {}) =>
  deploy('api', fleet.server.url, { WARMLINE_TEST_CLOCK: CLOCK, ...env });

const usedOf = async (address: string) =>
  unpackHot((await fleet.redis.getBuffer(fleet.tenant.keys.hot(address)))!).state.dayUsed;

type Answer = { status: number; body: Record<string, unknown>; lasts: boolean };
/** One request over a connection that is kept, as every client has it; it is never sent again. */
const call = (agent: Agent, url: string, method: string, path: string, body?: unknown): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${KEY}`,
      ...(text ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } : {}),
    };
    const asked = ask(`${url}${path}`, { agent, method, headers }, (answer) => {
      let out = '';
      answer.setEncoding('utf8').on('data', (chunk) => {
        out += chunk;
      });
      answer.on('error', reject).on('end', () =>
        resolve({
          status: answer.statusCode!,
          body: out ? JSON.parse(out) : {},
          lasts: answer.headers.connection !== 'close',
        }),
      );
    });
    asked.on('error', reject).end(text);
  });

const nothingTold = () => ({
  answered: 0,
  granted: 0,
  created: [] as string[],
  labels: new Map<string, string>(),
  cut: 0,
});
type Told = ReturnType<typeof nothingTold>;

/** Eight clients that take, and two that make and change IPs, until nobody listens any more. */
async function load(url: string, ipId: string, told: Told) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const turnedAway = (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED';
  const worker = async (work: (turn: number) => Promise<void>) => {
    for (let turn = 0; ; turn += 1) {
      try {
        await work(turn);
        told.answered += 1;
      } catch (error) {
        if (turnedAway(error as NodeJS.ErrnoException)) return;
        // It was sent into a connection that was being closed. Whether it was done the books tell below.
        if (!/ECONNRESET|EPIPE|hang up/.test(`${(error as NodeJS.ErrnoException).code} ${error}`))
          throw error;
        told.cut += 1;
      }
    }
  };
  await Promise.all([
    ...Array.from({ length: 8 }, (_, index) =>
      worker(async () => {
        const { body } = await call(agent, url, 'POST', '/v1/quota/take', { ip: ipId, count: index + 1 });
        for (const { count } of body.granted as { count: number }[]) told.granted += count;
      }),
    ),
    worker(async () => {
      const { status, body } = await call(agent, url, 'POST', '/v1/dedicated-ips');
      if (status === 201) told.created.push(body.id as string);
      else await sleep(5); // the inventory is used up
    }),
    worker(async (turn) => {
      const labels = { turn: String(turn) };
      const { status } = await call(agent, url, 'PATCH', `/v1/dedicated-ips/${ipId}`, { labels });
      if (status === 200) told.labels.set(ipId, String(turn));
    }),
  ]);
  agent.destroy();
}

describe('an API that is told to stop under load', () => {
  test(`answers what was begun, at ${STOPS} random moments: the books say so`, async () => {
    const { redis, tenant } = fleet;
    const totals = { answered: 0, cut: 0 };
    for (let stop = 0; stop < STOPS; stop += 1) {
      const ip = await fleet.bring({ status: 'active' });
      const held = await redis.zcard(tenant.keys.ips);
      const server = await api({ WARMLINE_INVENTORY: `10.${100 + stop}.0.0/24` });
      const told = nothingTold();
      const loading = load(server.url, ip.id, told);
      await eventually('it is busy', () => told.answered > 100, 30_000);
      await sleep(Math.random() * 300);
      server.kill(stop % 2 === 0 ? 'SIGTERM' : 'SIGINT');
      expect(await server.ended, server.log()).toBe(0);
      await loading;
      totals.answered += told.answered;
      totals.cut += told.cut;

      expect(await usedOf(ip.address), 'granted and told are the same').toBe(told.granted);
      expect(await redis.zcard(tenant.keys.ips)).toBe(held + told.created.length);
      expect(told.labels.size).toBe(1);
      const { labels } = JSON.parse((await redis.get(tenant.keys.ip(ip.id)))!) as {
        labels: { turn: string };
      };
      expect(labels.turn, 'the last change that was acknowledged').toBe(told.labels.get(ip.id));
    }
    console.info(
      `${STOPS} stops: ${totals.answered} requests answered, ${totals.cut} came too late and were not done`,
    );
  });

  test('is quiet first: not ready, yet answering, and every answer ends its connection', async () => {
    const server = await api({ WARMLINE_QUIET: 'PT1S' });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await call(agent, server.url, 'GET', '/readyz')).toMatchObject({ status: 200, lasts: true });
    server.kill('SIGTERM');
    await eventually('it is quiet', () => server.log().includes('not ready any more'));
    expect(await call(agent, server.url, 'GET', '/readyz')).toMatchObject({
      status: 503,
      lasts: false,
      body: { ok: false, problems: ['this process is stopping; send requests to another one'] },
    });
    expect(await call(agent, server.url, 'GET', '/healthz')).toMatchObject({ status: 200 });
    expect(await call(agent, server.url, 'GET', '/v1/dedicated-ips')).toMatchObject({
      status: 200,
      lasts: false,
    });
    expect(await server.ended).toBe(0);
  });

  test('ends also while somebody holds a connection without a word', async () => {
    const server = await api();
    const { port } = new URL(server.url);
    const silent = dial(Number(port), '127.0.0.1');
    silent.on('error', () => {});
    await new Promise((resolve) => silent.once('connect', resolve));
    const begunMs = performance.now();
    server.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(performance.now() - begunMs).toBeLessThan(5_000);
  });

  test('ends at once at a second signal', async () => {
    const server = await api({ WARMLINE_QUIET: 'PT5M' });
    server.kill('SIGTERM');
    await eventually('it is quiet', () => server.log().includes('not ready any more'));
    await sleep(600); // until a second one is no echo of the first
    server.kill('SIGTERM');
    expect(await server.ended).toBe(143);
  });
});

describe('a worker that is told to stop in the middle of a sweep', () => {
  test(`tears nothing, and another one goes on, at ${STOPS} random moments`, async () => {
    const book = { plan: 'fourteen-day' };
    let stoppedInside = 0;
    for (let stop = 0; stop < STOPS; stop += 1) {
      const house = await fleet.house();
      const brought = await house.bringMany(SWEPT, 'provisioning');
      for (const { id } of brought) await startWarmup(house.tenant, id, book);
      await fleet.advance({ days: 15, work: false });
      const { redis } = fleet;
      const first = await deploy('worker', fleet.server.url, { WARMLINE_TEST_CLOCK: CLOCK });
      await eventually(
        'it has begun',
        async () => (await redis.zcard(house.tenant.keys.warming)) < SWEPT,
        30_000,
      );
      await sleep(Math.random() * 150);
      first.kill('SIGTERM');
      expect(await first.ended, first.log()).toBe(0);
      expect(first.log()).not.toMatch(/failed to stop|did not stop|could not be advanced|tick failed/);
      const left = await redis.zcard(house.tenant.keys.warming);
      if (left > 0) stoppedInside += 1;
      expect((await tickUntilDone(fleet.engine)).failed).toEqual([]);
      expect(await countDue(fleet.engine)).toBe(0);

      const active = new Map<string, number>();
      for (let after: string | null = null; ; ) {
        const page = await readChanges(house.tenant, { after, fromMs: null, limit: 1_000 });
        for (const { ipId, to } of page.changes)
          if (to === 'active') active.set(ipId!, (active.get(ipId!) ?? 0) + 1);
        after = page.last;
        if (after === null) break;
      }
      expect(active.size).toBe(SWEPT);
      expect(new Set(active.values())).toEqual(new Set([1]));
    }
    if (STOPS > 5) expect(stoppedInside, 'some of them stopped with work left').toBeGreaterThan(0);
    console.info(`${STOPS} stops of a worker, ${stoppedInside} of them with work left`);
  }, 180_000);
});

test('a sender that is told to stop gives back what it leased: used is what was sent', async () => {
  const ip = await fleet.bring({ status: 'active' });
  await fleet.limiter.take({ ip: ip.id, count: 1 });
  const program = startProgram(new URL('./fixtures/sender.ts', import.meta.url), [
    fleet.server.url,
    ip.address,
  ]);
  expect(await program.line()).toBe('ready');
  await eventually('it sends', async () => (await usedOf(ip.address)) > 500);
  program.child.kill('SIGTERM');
  const { sent, granted, returned } = JSON.parse(await program.line());
  expect(await program.ended).toBe(0);
  expect(granted).toBe(sent + returned);
  expect(await usedOf(ip.address)).toBe(1 + sent);
});
