/**
 * One simulated installation: two API processes, two workers and three senders with the real code, each on a connection that leads
 * through the gate to one real Redis; and the witness that looks at everything that Redis has done.
 */
import type { Redis } from 'ioredis';
import fourteenDay from '../../schedules/fourteen-day.ts';
import { limitsOf, type WarmupSchedule } from '../../schedules/schedule.ts';
import sendgridHourly from '../../schedules/sendgrid-hourly.ts';
import { createAccount, DEFAULT_ACCOUNT, ensureDefaultAccount } from '../../src/fleet/accounts.ts';
import { planOf } from '../../src/fleet/change.ts';
import { openDatabase } from '../../src/fleet/database.ts';
import { type Engine, type Tenant, tenantOf } from '../../src/fleet/engine.ts';
import { addToInventory } from '../../src/fleet/inventory.ts';
import { NO_DEMAND } from '../../src/redis/demand.ts';
import { accountPrefix, clockKeys } from '../../src/redis/keys.ts';
import { createLimiter, type Limiter } from '../../src/redis/limiter.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import { type LeasedIp, SendLease, Turn } from '../../src/sender/lease.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { buildPlan, planDigest, type ScheduleBook } from '../../src/warmup/plan.ts';
import * as audit from './audit.ts';
import { Books, Broken } from './books.ts';
import { type Command, Gate, type Process } from './gate.ts';
import { DAY_MS, HOUR_MS } from './model/calendar.ts';
import type { Row } from './model/ip.ts';

import { scriptOf } from './script-names.ts';
import type { ProcessTime } from './time.ts';

/** Two days before clocks go forward in Berlin, five weeks before they do in Lord Howe; with 40 days leap days need another start. */
export const STARTS_MS = [
  Date.UTC(2026, 2, 27, 9, 30),
  Date.UTC(2026, 9, 20, 22, 15),
  Date.UTC(2028, 1, 20, 3),
  Date.UTC(2026, 11, 1, 12),
];
export const ZONES = ['UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'Asia/Kolkata', 'America/St_Johns'];
const COOLDOWN_MS = 3 * DAY_MS;
const LONGEST_DAY_MS = 25 * HOUR_MS;
/** So long what is leased may be spent. */
const LEASE_MS = 1_000;

const small = (id: string, kind: 'daily' | 'hourly', limits: readonly (number | null)[]): WarmupSchedule => {
  const about = { id, title: id, source: 'made up for the simulation' };
  return kind === 'daily'
    ? { ...about, daily: limits.map((dailyLimit, index) => ({ day: index + 1, dailyLimit })) }
    : { ...about, hourly: limits.map((hourlyCap, ageDays) => ({ ageDays, hourlyCap })) };
};
const SCHEDULES = [
  fourteenDay,
  sendgridHourly,
  small('daily', 'daily', [5, 9, 20, 45, 100]),
  small('hourly', 'hourly', [2, 4, 7, 12, 30, 60]),
];
const book: ScheduleBook = new Map(SCHEDULES.map((schedule) => [schedule.id, schedule]));
export const PLANS = [
  'fourteen-day+sendgrid-hourly',
  'daily',
  'hourly',
  'daily+hourly',
  'hourly+daily',
  'fourteen-day',
];

/** The rows of a plan by the words of the contract: the tightest binds, the first sets the length, a last row repeats. */
export function rowsOf(plan: string): Row[] {
  const tables = plan.split('+').map((id) => book.get(id)!);
  const rowOf = (table: WarmupSchedule, index: number) => {
    const rows = limitsOf(table);
    return rows[Math.min(index, rows.length - 1)]!.limit;
  };
  return limitsOf(tables[0]!).map((_, index) => ({
    daily: tables.filter((table) => 'daily' in table).map((table) => rowOf(table, index))[0] ?? null,
    hourly: tables.filter((table) => 'hourly' in table).map((table) => rowOf(table, index))[0] ?? null,
  }));
}

/** A process remembers the plans that it has read. In every run it knows them all from the start, also in the first of many. */
async function rememberPlans(engine: Engine): Promise<void> {
  const tenant = tenantOf(engine, DEFAULT_ACCOUNT, 'engine');
  for (const name of PLANS) {
    const plan = buildPlan(name, book);
    const digest = planDigest(plan);
    await engine.scripts.redis.set(tenant.keys.plan(digest), JSON.stringify(plan));
    await planOf(tenant, { warmup: { digest } } as DedicatedIp);
  }
}

/** A lease with what the simulation has to remember of it. */
export type OpenLease = { lease: SendLease; books: Books; out: { ip: LeasedIp; count: number }[] };

/** A process with what its code made at its start. */
export class Program {
  readonly process: Process;
  readonly engine: Engine;
  readonly leases: OpenLease[] = [];
  /** Sends that its takes were told of, and that leases had which are closed. */
  told = 0;
  closedLeases = 0;
  /** Of the clock's steps back it has heard of so many. */
  knownSteps = 0;
  readonly #limiters = new Map<string, Limiter>();
  readonly #turn = new Turn();

  constructor(process: Process, newId: Engine['newId']) {
    this.process = process;
    this.engine = {
      scripts: createScripts(process.redis, { testClock: true }),
      book,
      cooldownMs: COOLDOWN_MS,
      newId,
    };
  }

  tenant({ account }: Books, by: string): Tenant {
    return tenantOf(this.engine, account, by);
  }

  limiter({ account }: Books): Limiter {
    let limiter = this.#limiters.get(account.id);
    if (!limiter) {
      limiter = createLimiter(this.engine.scripts, account);
      this.#limiters.set(account.id, limiter);
    }
    return limiter;
  }

  lease(books: Books, target: { ip?: string; pool?: string }, clock: 'call' | 'turn'): OpenLease {
    const lease = new SendLease(
      this.limiter(books),
      { ...target, clock },
      {
        turn: this.#turn,
        isUnreachable: (error) => error instanceof Error && error.message === 'Connection is closed.',
        allowActive: false,
        demand: NO_DEMAND,
        ready: null,
        onClose: () => {},
      },
    );
    const open = { lease, books, out: [] };
    this.leases.push(open);
    return open;
  }
}

const KINDS = ['api-0', 'api-1', 'worker-0', 'worker-1', 'sender-0', 'sender-1', 'sender-2'] as const;

export class World {
  readonly redis: Redis;
  readonly time: ProcessTime;
  readonly gate: Gate;
  readonly books: Books[];
  readonly programs: Program[] = [];
  /** Ids of pools that limit something themselves: of them only bounds are known. */
  readonly limitedPools = new Set<string>();
  /** Ids of the pools that there are, by account. */
  readonly pools: Map<string, string[]>;
  /** So many times the clock of Redis went back. */
  stepsBack = 0;
  /** The latest time that the clock of Redis showed before it last went back. */
  latestMs = 0;
  /** When the clock of Redis last stepped, on that of the processes. */
  steppedAtMs = 0;
  /** When each IP stopped giving mail. */
  readonly stoppedSince = new Map<string, number>();
  readonly #leased: audit.Leased = new Map();
  #nowMs: number;
  #ids = 0;
  #names = 0;

  private constructor(redis: Redis, time: ProcessTime, startMs: number, books: Books[]) {
    this.redis = redis;
    this.#nowMs = startMs;
    this.time = time;
    this.books = books;
    this.pools = new Map(books.map(({ account }) => [account.id, []]));
    this.gate = new Gate(
      redis,
      (process, command, run) => this.#execute(process, command, run),
      time.settled,
    );
    for (const kind of KINDS) this.programs.push(this.#start(kind));
  }

  static async open(redis: Redis, time: ProcessTime, seed: number, addresses: number): Promise<World> {
    await redis.flushall();
    const startMs = STARTS_MS[seed % STARTS_MS.length]!;
    await openDatabase(redis, startMs);
    const engine: Engine = {
      scripts: createScripts(redis, { testClock: true }),
      book,
      cooldownMs: COOLDOWN_MS,
      newId: (kind) => `${kind}_second`,
    };
    await ensureDefaultAccount(engine);
    const second = await createAccount(engine, 'second');
    const leased = Array.from({ length: addresses }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
    await addToInventory(engine, { addresses: [...leased, '2001:db8::1', '2001:db8::2'] });
    await rememberPlans(engine);
    const accounts = [DEFAULT_ACCOUNT, { id: second.id, parentId: null, name: 'second' }];
    return new World(
      redis,
      time,
      startMs,
      accounts.map((account) => new Books(account, COOLDOWN_MS)),
    );
  }

  #start(kind: string): Program {
    this.#names += 1;
    return new Program(this.gate.open(`${kind} #${this.#names}`), (what) => {
      this.#ids += 1;
      return `${what}_${this.#ids.toString(36)}`;
    });
  }

  /** The process of a place is dead; another one takes its place. */
  async replace(place: number, done: number): Promise<void> {
    await this.gate.kill(this.programs[place]!.process, done);
    this.programs[place] = this.#start(KINDS[place]!);
    this.programs[place].knownSteps = this.stepsBack;
  }

  /** Engine time. Nobody else moves it. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Time passes for everybody. */
  async pass(ms: number): Promise<void> {
    this.#nowMs = await this.redis.incrby(clockKeys.now, ms);
    await this.time.move(ms);
  }

  /** The clock of Redis steps, and nobody else's. */
  async step(ms: number): Promise<void> {
    if (ms < 0) {
      this.stepsBack += 1;
      this.latestMs = Math.max(this.latestMs, this.#nowMs);
    }
    this.#nowMs = await this.redis.incrby(clockKeys.now, ms);
    this.steppedAtMs = this.time.nowMs();
  }

  /** A lease has spent something. */
  spent(books: Books, { ipId, ...leased }: LeasedIp, nowMs: number): void {
    const { part } = leased as { part?: { hourFromMs: number } | null };
    const ip = books.ips.get(ipId);
    // Leases end by the clock of their process: what was granted before that of Redis stepped is spent by the old time.
    if (part && ip && this.time.nowMs() > this.steppedAtMs + LEASE_MS)
      audit.spend(ip, part, ip.closedBecause(nowMs) ? this.stoppedSince.get(ipId) : undefined, nowMs);
  }

  booksOf(prefix: string): Books {
    const books = this.books.find(({ account }) => prefix.startsWith(accountPrefix(account)));
    if (!books) throw new Error(`no account has the keys ${prefix}`);
    return books;
  }

  async #execute(process: Process, command: Command, run: () => Promise<unknown>): Promise<unknown> {
    const script = scriptOf(command.args);
    if (!script) return run();
    const args = script.args as (string | number | Buffer)[];
    switch (script.name) {
      case 'transact':
        return this.#transact(args, run);
      case 'take-ip':
        return this.#charge(process, 'taken', args, run, async (books, nowMs) =>
          audit.takeIp(books, args, nowMs),
        );
      case 'take-pool':
        return this.#charge(process, 'taken', args, run, (books, nowMs) =>
          audit.takePool(
            books,
            this.redis,
            this.limitedPools,
            args,
            nowMs,
            nowMs > this.latestMs + LONGEST_DAY_MS,
          ),
        );
      case 'take-many':
        return this.#charge(process, 'taken', args, run, async (books) => audit.takeMany(books));
      case 'refund':
        return this.#charge(process, 'taken', args, run, async (books, nowMs) =>
          audit.refund(books, args, nowMs),
        );
      case 'lease':
        return this.#charge(process, 'leased', args, run, async (books) =>
          audit.lease(books, this.#leased, args),
        );
      default:
        return run();
    }
  }

  /** A script that charges or credits records: what it must do is known before, and looked at after it. */
  async #charge(
    process: Process,
    as: 'taken' | 'leased',
    args: readonly (string | number | Buffer)[],
    run: () => Promise<unknown>,
    checkOf: (books: Books, nowMs: number) => Promise<ReturnType<typeof audit.takeIp>>,
  ): Promise<unknown> {
    const books = this.booksOf(String(args[0]));
    const nowMs = this.#nowMs;
    const check = await checkOf(books, nowMs);
    const addresses = [...books.raws.keys()];
    const running = run();
    const [reply, raws] = await Promise.all([
      running,
      addresses.length === 0 ? [] : this.redis.mgetBuffer(addresses.map(books.keys.hot)),
    ]);
    process[as] += check(reply, books.changedRecords(addresses, raws), nowMs);
    return reply;
  }

  /** A change of records: the stream tells what, and the published quotas are held against it. */
  async #transact(args: (string | number | Buffer)[], run: () => Promise<unknown>): Promise<unknown> {
    const books = this.booksOf(String(args[0]));
    const nowMs = this.#nowMs;
    const items: { publish: { address: string; id: string }[] }[] = [];
    for (const arg of args.slice(3)) {
      if (typeof arg === 'string') items.push(JSON.parse(arg) as (typeof items)[number]);
    }
    const published = items.flatMap(({ publish }) => publish);
    // By what was published until now.
    const before = published.map(({ id }) => {
      const ip = books.ips.get(id);
      return ip?.published ? { count: ip.look(nowMs), mayNotSend: ip.closedBecause(nowMs) !== null } : null;
    });
    const [reply, entries, raws, ...hashes] = await Promise.all([
      run(),
      this.redis.xrange(books.keys.changes, `(${books.lastChange}`, '+'),
      published.length === 0
        ? []
        : this.redis.mgetBuffer(published.map(({ address }) => books.keys.hot(address))),
      ...published.map(({ address }) => this.redis.hgetall(books.keys.quota(address))),
    ]);
    for (const [id, fields] of entries) {
      books.lastChange = id;
      books.follow(fields[1]!);
    }
    for (const [index, { id }] of published.entries()) {
      if (!books.ips.get(id)?.closedBecause(nowMs)) this.stoppedSince.delete(id);
      else if (!before[index]?.mayNotSend) this.stoppedSince.set(id, nowMs);
    }
    const results = (reply as unknown[]).map((result) => Number(result) === 1);
    const isRefused = String(args[2]) === '1' && results.includes(false);
    let at = 0;
    for (const [index, { publish }] of items.entries()) {
      for (const { id, address } of publish) {
        const [raw, hash, count] = [raws[at], hashes[at], before[at]?.count ?? null];
        at += 1;
        if (isRefused || !results[index]) continue;
        if (!raw) throw new Broken('published', `${address} was published and has no record`);
        books.published(id, hash!, raw, count, nowMs);
      }
    }
    return reply;
  }
}
