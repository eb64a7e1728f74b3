/**
 * The demo: a whole warm-up on the test clock, with real Redis, a real worker, four real sender processes and real SMTP.
 * Each hour the senders offer twice what the warming IPs may carry, so that the rest overflows to the active one; then the
 * clock moves on, but only when nothing is under way.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { DEFAULT_ACCOUNT, ensureDefaultAccount } from '../../fleet/accounts.ts';
import { openDatabase } from '../../fleet/database.ts';
import { type Engine, nowOf, randomId, type Tenant, tenantOf } from '../../fleet/engine.ts';
import { addToInventory, bringIps, createIp } from '../../fleet/inventory.ts';
import { getIp, startWarmup } from '../../fleet/ips.ts';
import { addIpToPool, createPool } from '../../fleet/pools.ts';
import { advanceTo } from '../../fleet/test-clock.ts';
import { connect } from '../../redis/connect.ts';
import { createLimiter } from '../../redis/limiter.ts';
import { createScripts } from '../../redis/scripts.ts';
import { startEmbeddedRedis } from '../../runtime/embedded-redis.ts';
import { loadSchedules } from '../../runtime/schedules.ts';
import { createShutdown } from '../../runtime/shutdown.ts';
import { type Calendar, dayBeginsAt } from '../../warmup/calendar.ts';
import { read } from '../../warmup/counter.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import { buildPlan, DEFAULT_PLAN, limitsOn, type Plan } from '../../warmup/plan.ts';
import { projectPlan } from '../../warmup/projection.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../warmup/units.ts';
import { startWorker } from '../../worker/worker.ts';
import { type DayRow, openBooks } from './books.ts';
import type { FromSender, Offer, Outcome, ToSender } from './protocol.ts';
import { startSink } from './sink.ts';

/** Clocks go forward in Berlin on 29 March 2026: day 9 of this warm-up has 23 hours. */
const START_MS = Date.parse('2026-03-20T09:00:00Z'); // 10:00 on the wall in Berlin
const ZONE = 'Europe/Berlin';
const POOL = 'demo';
/** The first two are new, the third comes already warm. All of 127/8 is local on Linux, so each can be bound. */
const WARMING = [
  { address: '127.0.10.1', hostname: 'mta1.demo.example' },
  { address: '127.0.10.2', hostname: 'mta2.demo.example' },
];
const ACTIVE = { address: '127.0.10.3', hostname: 'mta3.demo.example' };
const SENDERS = 4;
/** Up to this day each message is one send for each recipient; later they are bundled. */
const LAST_DAY_ONE_TO_ONE = 6;
/** What a late hour may carry is offered in about this many messages. */
const MESSAGES_PER_WAVE = 30;
/** A bundle leaves from one IP, so an IP keeps the room that is smaller than one: it is offered again in smaller bundles. */
const MOST_WAVES = 4;
/** A message of the early days has up to this many recipients. */
const MOST_RECIPIENTS = 5;
/** Offered when the warming IPs may carry nothing: all of it must overflow. */
const LEAST_OFFERED = 4;
/** Mail that is deferred is offered again; more rounds than this and it is lost. */
const MOST_ROUNDS_AT_THE_END = 50;

export type DemoResult = {
  days: DayRow[];
  totals: ReturnType<typeof openBooks>['totals'];
  faults: { deferred: number; refused: number; cut: number };
  problems: string[];
  hours: number;
  seconds: number;
};

export type Progress = { total: number; step(done: number, day: number): void };

export async function runDemo({
  log,
  progress,
}: {
  log: Logger;
  progress: (total: number) => Progress;
}): Promise<DemoResult> {
  const beganAt = performance.now();
  checkLoopback();
  const dataDir = mkdtempSync(join(tmpdir(), 'warmline-demo-'));
  const shutdown = createShutdown({ log, deadlineMs: 15_000 });
  shutdown.add('data', async () => rmSync(dataDir, { recursive: true, force: true }));
  try {
    const embedded = await startEmbeddedRedis({ dataDir, log });
    shutdown.add('redis', () => embedded.stop());
    const redis = await connect(embedded.url);
    shutdown.add('redis connection', async () => redis.disconnect());
    const { testClock } = await openDatabase(redis, START_MS);
    const book = await loadSchedules();
    const engine: Engine = {
      scripts: createScripts(redis, { testClock }),
      book,
      cooldownMs: 30 * DAY_MS,
      newId: randomId,
    };
    await ensureDefaultAccount(engine);
    const worker = await startWorker({ engine, redisUrl: embedded.url, log });
    shutdown.add('worker', () => worker.stop());

    const tenant = tenantOf(engine, DEFAULT_ACCOUNT, 'demo');
    const ips = await setUp(tenant);
    const names = new Map([...WARMING, ACTIVE].map(({ address, hostname }) => [address, hostname]));
    const sink = await startSink(names);
    shutdown.add('sink', () => sink.close());
    const senders = await startSenders(embedded.url, sink.port);
    shutdown.add('senders', () => stopSenders(senders));

    const plan = buildPlan(DEFAULT_PLAN, book);
    const result = await walk({ tenant, plan, ips, senders, sink, progress });
    return { ...result, seconds: (performance.now() - beganAt) / 1000 };
  } finally {
    await shutdown.stop('the demo is over');
  }
}

function checkLoopback(): void {
  const loopback = Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.address === '127.0.0.1');
  if (process.platform !== 'linux' && loopback?.cidr !== '127.0.0.1/8') {
    throw new Error(
      `the demo sends from ${WARMING[0]!.address} and up, which are local addresses on Linux only; add them first, for instance with "sudo ifconfig lo0 alias ${WARMING[0]!.address}"`,
    );
  }
}

async function setUp(tenant: Tenant): Promise<DedicatedIp[]> {
  await createPool(tenant, { name: POOL });
  for (const { address, hostname } of WARMING) {
    await addToInventory(tenant.engine, { addresses: [address], hostname });
    const ip = await createIp(tenant);
    await addIpToPool(tenant, POOL, ip.id);
    await startWarmup(tenant, ip.id, { zone: ZONE });
  }
  const [active] = await bringIps(tenant, {
    addresses: [ACTIVE.address],
    hostname: ACTIVE.hostname,
    status: 'active',
  });
  await addIpToPool(tenant, POOL, active!.id);
  return Promise.all(WARMING.map(({ address }) => getIp(tenant, address)));
}

async function startSenders(redisUrl: string, smtpPort: number): Promise<ChildProcess[]> {
  const file = fileURLToPath(
    new URL(`./sender-process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
  );
  const senders = Array.from({ length: SENDERS }, () => fork(file, [redisUrl, POOL, String(smtpPort)]));
  await Promise.all(senders.map((sender) => answer(sender)));
  return senders;
}

/** The next word of a sender. @throws when it failed or ended instead. */
async function answer(sender: ChildProcess): Promise<FromSender> {
  const ended = new AbortController();
  const [message] = (await Promise.race([
    once(sender, 'message', { signal: ended.signal }),
    once(sender, 'exit', { signal: ended.signal }).then(([code]) => {
      throw new Error(`a sender process ended with ${code} in the middle of its work`);
    }),
  ]).finally(() => ended.abort())) as [FromSender];
  if (message.kind === 'failed') throw new Error(`a sender process failed: ${message.message}`);
  return message;
}

async function stopSenders(senders: ChildProcess[]): Promise<void> {
  await Promise.all(
    senders.map(async (sender) => {
      if (sender.exitCode !== null || !sender.connected) return;
      const gone = once(sender, 'exit');
      sender.send({ kind: 'close' } satisfies ToSender);
      await gone;
    }),
  );
}

type Walk = {
  tenant: Tenant;
  plan: Plan;
  ips: DedicatedIp[];
  senders: ChildProcess[];
  sink: Awaited<ReturnType<typeof startSink>>;
  progress: (total: number) => Progress;
};

async function walk({ tenant, plan, ips, senders, sink, progress }: Walk) {
  const calendar: Calendar = ips[0]!.warmup!;
  const projected = projectPlan({ plan, calendar }).days;
  const addresses = WARMING.map(({ address }) => address);
  const books = openBooks(addresses, (warmupDay) => limitsOn(plan, warmupDay));
  const limiter = createLimiter(tenant.engine.scripts, tenant.account);
  const hours = plan.days.flatMap((_, index) => hoursOf(calendar, index + 1));
  const bar = progress(hours.length);
  let queue: Offer[] = [];
  let nextId = 1;

  for (const [step, { warmupDay, hour, beginsAtMs }] of hours.entries()) {
    await advanceTo(tenant.engine, beginsAtMs, { work: true });
    const granted = new Map<string, number>();
    for (let wave = 0; wave < MOST_WAVES; wave += 1) {
      const room = await roomOf(ips);
      if (room === 0 && wave > 0) break;
      const sends = Math.max(2 * room, LEAST_OFFERED);
      const bundled = warmupDay > LAST_DAY_ONE_TO_ONE && wave < MOST_WAVES - 1;
      const offers = makeOffers(sends, bundled ? Math.ceil(sends / MESSAGES_PER_WAVE) : 1);
      books.totals.offered += offers.reduce(
        (sum, offer) => sum + offer.recipients.length * offer.sendsEach,
        0,
      );
      await send([...queue, ...offers], granted);
    }
    books.close({ warmupDay, hour, granted, delivered: sink.drain() });
    bar.step(step + 1, warmupDay);
  }

  // The last day ends: both are active now, and what was deferred in the last hour finds room.
  await advanceTo(tenant.engine, dayBeginsAt(calendar, plan.days.length + 1), { work: true });
  for (let round = 0; queue.length > 0 && round < MOST_ROUNDS_AT_THE_END; round += 1) {
    await advanceTo(tenant.engine, (await nowOf(tenant.engine)) + MINUTE_MS, { work: true });
    await send(queue, new Map());
    books.deliver(sink.drain());
  }
  books.totals.lost = queue.reduce((sum, offer) => sum + offer.recipients.length * offer.sendsEach, 0);
  await judge();
  return {
    days: books.days((warmupDay) => projected[warmupDay - 1]!.sendable ?? 0),
    totals: books.totals,
    faults: sink.faults,
    problems: books.problems,
    hours: hours.length,
  };

  /** What the warming IPs may carry in this hour, by their own counters. */
  async function roomOf(all: DedicatedIp[]): Promise<number> {
    const rooms = await Promise.all(
      all.map(async ({ address, id }) => {
        const { nowMs, counter } = await limiter.look(address, id);
        return read(counter!.state, counter!.quota, nowMs).room;
      }),
    );
    return rooms.reduce((sum, room) => sum + room, 0);
  }

  function makeOffers(sends: number, sendsEach: number): Offer[] {
    const offers: Offer[] = [];
    for (let left = sends; left > 0; ) {
      const each = Math.min(sendsEach, left);
      // Some messages have one recipient and some have several, the same in every run.
      const wanted = sendsEach === 1 ? 1 + (nextId % MOST_RECIPIENTS) : 1;
      const count = Math.min(wanted, Math.floor(left / each));
      const recipients = Array.from({ length: count }, (_, index) => `reader${nextId}.${index}@sink.example`);
      offers.push({ id: nextId, recipients, sendsEach: each });
      nextId += 1;
      left -= count * each;
    }
    return offers;
  }

  /** Lets the senders share the offers, waits until nothing is under way, and books what they tell. */
  async function send(offers: Offer[], granted: Map<string, number>): Promise<void> {
    const byId = new Map(offers.map((offer) => [offer.id, offer]));
    const replies = await Promise.all(
      senders.map((sender, index) => {
        const share = offers.filter((_, at) => at % SENDERS === index);
        sender.send({ kind: 'send', offers: share } satisfies ToSender);
        return answer(sender);
      }),
    );
    queue = [];
    for (const reply of replies) {
      if (reply.kind !== 'done') throw new Error(`a sender said ${reply.kind} where its outcomes were due`);
      for (const outcome of reply.outcomes) book(outcome, byId.get(outcome.offer)!, granted);
    }
  }

  function book(outcome: Outcome, offer: Offer, granted: Map<string, number>): void {
    const { totals } = books;
    for (const [address, sends] of Object.entries(outcome.granted)) {
      granted.set(address, (granted.get(address) ?? 0) + sends);
      totals.granted += sends;
    }
    // What was given back was never sent: it counts for nobody's hour.
    for (const [address, sends] of Object.entries(outcome.refunded)) {
      granted.set(address, granted.get(address)! - sends);
      totals.refunded += sends;
    }
    totals.bounced += outcome.bounced.length * offer.sendsEach;
    const again = outcome.again.length * offer.sendsEach;
    if (outcome.held) totals.held += again;
    else totals.deferred += again;
    if (outcome.again.length > 0) queue.push({ ...offer, recipients: outcome.again });
  }

  async function judge(): Promise<void> {
    const { totals, problems } = books;
    if (totals.lost > 0)
      problems.push(`${totals.lost} sends of mail were lost: offered, and neither delivered nor bounced`);
    if (totals.granted !== totals.delivered + totals.refunded + totals.bounced + totals.deferred) {
      problems.push(
        `the books do not balance: granted ${totals.granted}, delivered ${totals.delivered}, refunded ${totals.refunded}, refused ${totals.bounced}, deferred or cut off ${totals.deferred}`,
      );
    }
    if (totals.offered !== totals.delivered + totals.bounced + totals.lost) {
      problems.push(
        `offered ${totals.offered} sends, but delivered ${totals.delivered} and refused ${totals.bounced}`,
      );
    }
    for (const wrong of sink.wrongNames) problems.push(`the wrong EHLO name: ${wrong}`);
    const stream = await tenant.engine.scripts.redis.xrange(tenant.keys.changes, '-', '+');
    const changes = stream.map(
      ([, [, json]]) => JSON.parse(json!) as { ipId?: string; what: string; to: unknown },
    );
    for (const ip of ips) {
      const times = changes.filter(
        ({ ipId, what, to }) => ipId === ip.id && what === 'status' && to === 'active',
      ).length;
      if (times !== 1) problems.push(`${ip.address} became active ${times} times instead of once`);
    }
  }
}

/** The hours of a warm-up day; the last one is shorter where the day is. */
function hoursOf(
  calendar: Calendar,
  warmupDay: number,
): { warmupDay: number; hour: number; beginsAtMs: number }[] {
  const fromMs = dayBeginsAt(calendar, warmupDay);
  const count = Math.ceil((dayBeginsAt(calendar, warmupDay + 1) - fromMs) / HOUR_MS);
  return Array.from({ length: count }, (_, hour) => ({
    warmupDay,
    hour: hour + 1,
    beginsAtMs: fromMs + hour * HOUR_MS,
  }));
}
