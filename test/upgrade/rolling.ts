/**
 * A rolling upgrade on a test clock: workers, APIs and senders of an earlier revision and of this one on one Redis, sharing
 * every IP. What was sent is reckoned here, in plain arithmetic from what the senders were told, and compared with Redis after
 * every step: never over, each change once, books that balance.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { unpackHot } from '../../src/redis/hot-record.ts';
import { accountKeys } from '../../src/redis/keys.ts';
import { type Deployed, deploy, KEY } from '../operate/processes.ts';
import type { Fleet } from '../support/fleet.ts';
import { type Program, startProgram } from '../support/processes.ts';
import type { Outcome, Task } from './sender.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** The first days of the default plan, written out once more: this page shares no code with the engine. */
const DAILY = [
  50,
  100,
  250,
  500,
  1_000,
  2_500,
  5_000,
  10_000,
  20_000,
  40_000,
  70_000,
  100_000,
  150_000,
  Infinity,
];
const HOURLY = [20, 28, 39, 55, 77, 108, 151, 211, 295, 413, 579, 810, 1_000, 1_587];

export type Figures = {
  steps: number;
  sends: number;
  refunded: number;
  leased: number;
  changes: number;
  statusChanges: number;
  /** In sentences; none is what is promised. */
  broken: string[];
};

type Side = { name: string; root: string; apis: Deployed[]; workers: Deployed[]; senders: Program[] };
type Ip = {
  id: string;
  address: string;
  startedAtMs: number;
  startDay: number;
  held: boolean;
  status: 'warming' | 'cooldown';
  /** Of the running day and hour. */
  used: { day: number; inDay: number; hour: number; inHour: number };
};

async function start(name: string, root: string, redisUrl: string, clock: string): Promise<Side> {
  const env = { WARMLINE_TEST_CLOCK: clock, LOG_LEVEL: 'info', WARMLINE_COOLDOWN: 'P30D' };
  const main = `${root}/src/cli/main.ts`;
  const [api, worker] = await Promise.all([
    deploy('api', redisUrl, env, main),
    deploy('worker', redisUrl, env, main),
  ]);
  const senders = [0, 1].map(() => startProgram(new URL('./sender.ts', import.meta.url), [root, redisUrl]));
  for (const sender of senders) await sender.line();
  return { name, root, apis: [api], workers: [worker], senders };
}

async function stop({ apis, workers, senders, name }: Side, broken: string[]): Promise<void> {
  for (const sender of senders) sender.child.stdin!.end();
  for (const each of [...apis, ...workers]) each.kill('SIGTERM');
  for (const each of [...apis, ...workers]) {
    if ((await each.ended) !== 0)
      broken.push(`a process of the ${name} build did not stop in order: ${each.log().slice(-300)}`);
    const failed = /"level":(50|60).*|ip could not be advanced.*|tick failed.*/.exec(each.log());
    if (failed) broken.push(`the ${name} build: ${failed[0].slice(0, 300)}`);
  }
  await Promise.all(senders.map(({ ended }) => ended));
}

/** mulberry32: every choice from one seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * @param steps of three hours each, in every phase
 * @param andBack the earlier revision is started again after this one ran alone
 */
export async function rollingUpgrade(
  fleet: Fleet,
  earlierRoot: string,
  {
    seed,
    steps,
    andBack,
    say = () => {},
  }: { seed: number; steps: number; andBack: boolean; say?: (text: string) => void },
): Promise<Figures> {
  const figures: Figures = {
    steps: 0,
    sends: 0,
    refunded: 0,
    leased: 0,
    changes: 0,
    statusChanges: 0,
    broken: [],
  };
  const { broken } = figures;
  const chance = random(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(chance() * all.length)]!;
  const { redis, server } = fleet;
  const keys = accountKeys({ id: 'acct_default', parentId: null });
  const clock = new Date(await fleet.now()).toISOString();
  const launch = (name: string, root: string) => start(name, root, server.url, clock);

  let sides: Side[] = [await launch('earlier', earlierRoot)];
  const ask = async (method: string, path: string, body?: object) => {
    const { url } = pick(pick(sides).apis);
    const headers = {
      authorization: `Bearer ${KEY}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
    };
    const answer = await fetch(`${url}${path}`, {
      method,
      headers,
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} ${JSON.stringify(body)}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : {};
  };
  const queues = new Map<Program, Promise<unknown>>();
  const tell = (sender: Program, task: Task): Promise<Outcome> => {
    const before = queues.get(sender) ?? Promise.resolve();
    const done = before.then(async () => {
      sender.child.stdin!.write(`${JSON.stringify(task)}\n`);
      return JSON.parse(await sender.line()) as Outcome;
    });
    queues.set(sender, done);
    return done;
  };

  // Written by the earlier build: IPs at several days of their warm-up, a pool, what they have sent.
  await ask('POST', '/v1/inventory', { addresses: ['203.0.113.0/28'] });
  const ips: Ip[] = [];
  for (let at = 0; at < 8; at += 1) await bring(at % 4 === 3 ? 13 : 1 + (at % 3));
  const pool = await ask('POST', '/v1/dedicated-ips/pools', { name: 'shared' });
  for (const { id } of ips.slice(0, 4))
    await ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: id });
  await step('the earlier build alone');

  sides.push(await launch('this', ROOT));
  for (let turn = 0; turn < steps; turn += 1) await step('both');
  const [earlier, current] = sides as [Side, Side];
  sides = [current];
  await stop(earlier, broken);
  for (let turn = 0; turn < steps; turn += 1) await step('this build alone');
  if (andBack) {
    sides = [current, await launch('earlier', earlierRoot)];
    for (let turn = 0; turn < Math.ceil(steps / 2); turn += 1) await step('both again');
    const [, back] = sides as [Side, Side];
    sides = [back];
    await stop(current, broken);
    for (let turn = 0; turn < Math.ceil(steps / 2); turn += 1) await step('back on the earlier build');
  }
  for (const side of sides) await stop(side, broken);
  await checkStream();
  return figures;

  async function bring(startDay: number): Promise<void> {
    const { id, ipAddress: address } = await ask('POST', '/v1/dedicated-ips');
    await ask('POST', `/v1/dedicated-ips/${id}/warmup`, startDay === 1 ? {} : { startDay });
    const startedAtMs = await fleet.now();
    ips.push({
      ...{ id, address, startedAtMs, startDay, held: false, status: 'warming' as const },
      used: { day: 0, inDay: 0, hour: 0, inHour: 0 },
    });
    figures.changes += 2;
  }

  async function step(phase: string): Promise<void> {
    figures.steps += 1;
    await change();
    await send(phase);
    await checkBooks(phase);
    // Sometimes the API does the work on the way, sometimes the workers of both builds race for it.
    const work = chance() < 0.3;
    await ask('POST', '/v1/test-clock/advance', { by: 'PT3H', work });
    await untilNothingIsDue();
    say(`${phase}: step ${figures.steps}, ${figures.sends} sends, ${broken.length} promises broken`);
  }

  async function change(): Promise<void> {
    const ip = pick(ips);
    const path = `/v1/dedicated-ips/${ip.id}`;
    const dice = chance();
    if (ip.status === 'cooldown') {
      await ask('POST', `${path}/restore`);
      ip.status = 'warming';
    } else if (ip.held) {
      await ask('DELETE', `${path}/hold`);
      ip.held = false;
    } else if (dice < 0.4) {
      await ask('POST', `${path}/hold`, { sending: true, advance: false, because: 'a test' });
      ip.held = true;
    } else if (dice < 0.5 && ip.startDay < 13) {
      await ask('DELETE', path);
      ip.status = 'cooldown';
    } else if (dice < 0.7) {
      await ask('PATCH', path, { labels: { step: String(figures.steps) } });
    } else if (ips.length < 14) {
      await bring(1);
      return;
    } else return;
    figures.changes += 1;
  }

  /** All of them at once, over both builds and all senders. */
  async function send(phase: string): Promise<void> {
    const receipts: { ip: Ip; count: number; receipt: string }[] = [];
    await Promise.all(
      Array.from({ length: 40 }, async () => {
        const ip = pick(ips);
        const side = pick(sides);
        const count = 1 + Math.floor(chance() * 6);
        const how = chance();
        let sent = 0;
        if (how < 0.3) {
          const { granted } = await ask('POST', '/v1/quota/take', { ip: ip.id, count });
          sent = (granted as { count: number }[]).reduce((sum, one) => sum + one.count, 0);
        } else if (how < 0.8) {
          const outcome = await tell(pick(side.senders), { take: { ip: ip.id, count } });
          sent = outcome.sent;
          for (const receipt of outcome.receipts) receipts.push({ ip, count, receipt });
        } else {
          sent = (await tell(pick(side.senders), { lease: { ip: ip.id, sends: count } })).sent;
          figures.leased += sent;
        }
        if (sent > 0 && (ip.held || ip.status === 'cooldown'))
          broken.push(`${phase}: ${ip.address} is stopped and sent ${sent}`);
        figures.sends += sent;
        await charge(ip, sent);
      }),
    );
    for (const { ip, count, receipt } of receipts.filter(() => chance() < 0.2)) {
      // Twice, through two senders that may be of two builds: it is credited once.
      const both = [pick(pick(sides).senders), pick(pick(sides).senders)];
      const credited = await Promise.all(both.map((sender) => tell(sender, { refund: [receipt] })));
      const refunded = credited.reduce((sum, outcome) => sum + outcome.refunded, 0);
      if (refunded !== count) broken.push(`${phase}: a receipt of ${count} was credited with ${refunded}`);
      figures.refunded += refunded;
      await charge(ip, -refunded);
    }
  }

  async function charge(ip: Ip, count: number): Promise<void> {
    const nowMs = await fleet.now();
    const day = Math.floor((nowMs - ip.startedAtMs) / DAY);
    const hour = Math.floor((nowMs - ip.startedAtMs) / HOUR);
    if (ip.used.day !== day) Object.assign(ip.used, { day, inDay: 0 });
    if (ip.used.hour !== hour) Object.assign(ip.used, { hour, inHour: 0 });
    ip.used.inDay += count;
    ip.used.inHour += count;
    const at = day + ip.startDay - 1;
    if (ip.used.inDay > (DAILY[at] ?? Infinity) || ip.used.inHour > (at < 13 ? HOURLY[at]! : Infinity))
      broken.push(`${ip.address} is over on day ${at + 1}: ${ip.used.inDay} and ${ip.used.inHour}`);
  }

  async function checkBooks(phase: string): Promise<void> {
    for (const ip of ips) {
      await charge(ip, 0);
      const raw = await redis.getBuffer(keys.hot(ip.address));
      if (ip.status === 'cooldown') continue;
      if (!raw) {
        broken.push(`${phase}: ${ip.address} has no hot record`);
        continue;
      }
      const { state } = unpackHot(raw);
      const dayFromMs = ip.startedAtMs + ip.used.day * DAY;
      const used = state.dayFromMs === dayFromMs ? state.dayUsed : 0;
      if (used !== ip.used.inDay)
        broken.push(`${phase}: Redis counts ${used} for ${ip.address}, the senders ${ip.used.inDay}`);
    }
  }

  async function untilNothingIsDue(): Promise<void> {
    for (let turn = 0; turn < 600; turn += 1) {
      if ((await redis.zcount(keys.due, '-inf', await fleet.now())) === 0) return;
      await sleep(100);
    }
    broken.push('work was due for a minute and no worker did it');
  }

  /** Every status follows from the one before, and none comes twice. */
  async function checkStream(): Promise<void> {
    const last = new Map<string, unknown>();
    let counted = 0;
    for (const [, [, text]] of await redis.xrange(keys.changes, '-', '+')) {
      const { what, ipId, from, to } = JSON.parse(text!) as Record<string, unknown>;
      if (what !== 'status') continue;
      figures.statusChanges += 1;
      counted += 1;
      const before = last.get(String(ipId)) ?? null;
      if (before !== from) broken.push(`${ipId} went from ${from} to ${to}, and was ${before}`);
      last.set(String(ipId), to);
    }
    if (counted === 0) broken.push('no change of a status stands in the stream');
  }
}
