/**
 * `GET /metrics` for Prometheus. It names accounts and says how much they send, so it is open to programs of the same
 * machine, who could ask Redis as well, and to the operator's keys. What each metric means stands in docs/metrics.md.
 */
import type { FastifyInstance } from 'fastify';
import { Counter, Gauge, type Registry } from 'prom-client';
import { z } from 'zod';
import {
  type Census,
  type Counted,
  type CountedQuota,
  MOST_NAMED_ACCOUNTS,
  OTHERS,
  takeCensus,
} from '../fleet/census.ts';
import type { Engine } from '../fleet/engine.ts';
import type { BecauseCode, TakeAnswer } from '../redis/answer.ts';
import { WarmlineError } from '../warmup/errors.ts';
import type { RouteDocs } from './openapi.ts';

const METRICS: RouteDocs = {
  summary: 'What Prometheus gathers',
  description:
    'Open to programs of the same machine that ask directly; everybody else needs a key with the scope `admin`.',
  id: 'getMetrics',
  answers: { 200: z.string() },
  contentType: 'text/plain',
};

export function registerMetrics(app: FastifyInstance, engine: Engine, registry: Registry): void {
  addFleet(registry, engine);
  app.get(
    '/metrics',
    { config: { scope: 'admin', openOnThisMachine: true, quiet: true, docs: METRICS } },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  );
}

/** Every answer but those of the hot path, whose takes are counted by what became of them. */
export function countAnswers(app: FastifyInstance, registry: Registry): void {
  const answers = new Counter({
    name: 'warmline_http_answers_total',
    help: 'Answers by route and class of status; takes and refunds are not among them.',
    labelNames: ['method', 'route', 'status'] as const,
    registers: [registry],
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method, routeOptions, is404 } = request;
    // A path that does not exist is anybody's invention, and so is no label.
    const route = is404 ? 'none' : (routeOptions.url ?? 'none');
    answers.inc({ method: is404 ? 'any' : method, route, status: `${Math.floor(reply.statusCode / 100)}xx` });
    done();
  });
}

// ---- takes

/** Why a take was denied; `refused`: no such IP or pool, or not valid; `failed`: Redis did not answer. */
type Outcome = BecauseCode | 'granted' | 'refused' | 'failed';

/** The takes of one account, in plain numbers: they become metrics when somebody looks. */
export type CountedTakes = { add(outcome: TakeAnswer | Error): void };
/** @param account `null` where it is not known */
export type TakeCounts = { of(account: { id: string; name: string } | null): CountedTakes };

export function createTakeCounts(registry: Registry): TakeCounts {
  const byId = new Map<string, Takes>();
  const others = new Takes(OTHERS);
  // Prometheus sees an increase only between two numbers, and what fails should be seen from the first time on.
  others.outcomes.set('failed', 0);
  const all = () => [...byId.values(), others];
  new Counter({
    name: 'warmline_takes_total',
    help: 'Takes over HTTP by outcome; because: empty when granted, else why not.',
    labelNames: ['account', 'outcome', 'because'] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { account, outcomes } of all()) {
        for (const [outcome, count] of outcomes) this.inc({ account, ...labelsOf(outcome) }, count);
      }
    },
  });
  new Counter({
    name: 'warmline_sends_granted_total',
    help: 'Sends granted over HTTP.',
    labelNames: ['account'] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { account, sends } of all()) this.inc({ account }, sends);
    },
  });
  return {
    of(account) {
      if (account === null) return others;
      const { id, name } = account;
      let takes = byId.get(id);
      if (!takes) {
        if (byId.size >= MOST_NAMED_ACCOUNTS) return others;
        takes = new Takes(name);
        byId.set(id, takes);
      }
      return takes;
    },
  };
}

const labelsOf = (outcome: Outcome) => {
  if (outcome === 'granted') return { outcome, because: '' };
  return outcome === 'refused' || outcome === 'failed'
    ? { outcome, because: '' }
    : { outcome: 'denied', because: outcome };
};

class Takes implements CountedTakes {
  readonly account: string;
  readonly outcomes = new Map<Outcome, number>();
  sends = 0;

  constructor(account: string) {
    this.account = account;
  }

  add(outcome: TakeAnswer | Error): void {
    const what = outcomeOf(outcome);
    this.outcomes.set(what, (this.outcomes.get(what) ?? 0) + 1);
    if (what === 'granted') for (const { count } of (outcome as TakeAnswer).granted) this.sends += count;
  }
}

function outcomeOf(outcome: TakeAnswer | Error): Outcome {
  if (outcome instanceof Error) return outcome instanceof WarmlineError ? 'refused' : 'failed';
  return outcome.allowed ? 'granted' : (outcome.because?.code ?? 'unpublished');
}

// ---- the fleet

/** The fleet is counted this often at most, however many ask: a few milliseconds of Redis each time. Real time. */
const COUNTED_EVERY_MS = 10_000;
/** Prometheus waits ten seconds; a Redis that hangs must not cost it all the rest. */
const COUNTED_WITHIN_MS = 2_000;

function addFleet(registry: Registry, engine: Engine): void {
  const look = remembered(() => takeCensus(engine));
  const registers = [registry];
  /** A gauge that is filled from the census, and empty while Redis does not answer. */
  const gauge = <Name extends string>(
    name: string,
    help: string,
    labelNames: readonly Name[],
    fill: (gauge: Gauge<Name>, census: Census) => void,
  ) =>
    new Gauge<Name>({
      name,
      help,
      labelNames: [...labelNames],
      registers,
      async collect() {
        const census = await look();
        this.reset();
        if (census) fill(this, census);
        else if (labelNames.length === 0) this.set(Number.NaN);
      },
    });

  new Gauge({
    name: 'warmline_redis_up',
    help: '1 when Redis answered the last look at the fleet within 2 seconds.',
    registers,
    async collect() {
      this.set((await look()) === null ? 0 : 1);
    },
  });
  gauge('warmline_accounts', 'Accounts.', [], (to, { accounts }) => to.set(accounts));
  gauge(
    'warmline_accounts_unseen',
    'Accounts beyond the first 1000, which the sums below leave out.',
    [],
    (to, { accountsUnseen }) => to.set(accountsUnseen),
  );
  gauge('warmline_inventory_free', 'Addresses of the inventory that are free.', [], (to, { inventoryFree }) =>
    to.set(inventoryFree),
  );
  gauge(
    'warmline_tick_lag_seconds',
    'How long the IP that waits longest for the worker has been due.',
    [],
    (to, { lagMs }) => to.set(lagMs / 1000),
  );
  gauge('warmline_ips', 'IPs by account and status.', ['account', 'status'], (to, { byAccount }) => {
    for (const { name: account, ips } of byAccount) {
      for (const [status, count] of Object.entries(ips) as [Counted, number][])
        to.set({ account, status }, count);
    }
  });
  const labels = ['account', 'status', 'window'] as const;
  const sums = (name: string, what: keyof CountedQuota, help: string) =>
    gauge(name, help, labels, (to, { byAccount }) => {
      for (const { name: account, quota } of byAccount) {
        for (const [status, { ips, day, hour }] of Object.entries(quota)) {
          if (ips === 0) continue;
          to.set({ account, status, window: 'day' }, day[what]);
          to.set({ account, status, window: 'hour' }, hour[what]);
        }
      }
    });
  sums(
    'warmline_quota_used_sends',
    'used',
    'Sends counted in the running day and hour of the IPs that have a limit.',
  );
  sums(
    'warmline_quota_left_sends',
    'left',
    'Sends left in the running day and hour of the IPs that have a limit.',
  );
  sums(
    'warmline_window_sends',
    'sent',
    'Sends counted in the running day and hour of all IPs, with a limit or without.',
  );
  const counter = <Name extends string>(
    name: string,
    help: string,
    labelNames: readonly Name[],
    fill: (counter: Counter<Name>, census: Census) => void,
  ) =>
    new Counter<Name>({
      name,
      help,
      labelNames: [...labelNames],
      registers,
      async collect() {
        const census = await look();
        this.reset();
        if (census) fill(this, census);
      },
    });
  counter(
    'warmline_demand_wanted_sends_total',
    'Sends that senders asked for, over HTTP and over Redis, as they told Redis.',
    ['account'],
    (to, { byAccount }) => {
      for (const { name: account, demand } of byAccount) to.inc({ account }, demand.wanted);
    },
  );
  counter('warmline_demand_granted_sends_total', 'Of these granted.', ['account'], (to, { byAccount }) => {
    for (const { name: account, demand } of byAccount) to.inc({ account }, demand.granted);
  });
  counter(
    'warmline_demand_held_sends_total',
    'Of these denied, by reason.',
    ['account', 'because'],
    (to, { byAccount }) => {
      for (const { name: account, demand } of byAccount) {
        for (const [because, sends] of demand.heldBy) to.inc({ account, because }, sends);
      }
    },
  );
  gauge(
    'warmline_quota_ips',
    'IPs that these sums are from; fewer than there are in a large fleet.',
    ['account', 'status'],
    (to, { byAccount }) => {
      for (const { name: account, quota } of byAccount) {
        for (const [status, { ips }] of Object.entries(quota)) to.set({ account, status }, ips);
      }
    },
  );
}

/** One look for all gauges of a scrape and for all who scrape; `null` when it failed or took too long. */
function remembered(look: () => Promise<Census>): () => Promise<Census | null> {
  let last: { atMs: number; census: Promise<Census | null> } | null = null;
  return () => {
    const nowMs = performance.now();
    if (!last || nowMs - last.atMs >= COUNTED_EVERY_MS) {
      const entry = { atMs: nowMs, census: inTime(look()) };
      last = entry;
      // What failed is tried again by the next scrape.
      void entry.census.then((census) => {
        if (census === null && last === entry) last = { ...entry, atMs: nowMs - COUNTED_EVERY_MS + 1_000 };
      });
    }
    return last.census;
  };
}

function inTime(census: Promise<Census>): Promise<Census | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), COUNTED_WITHIN_MS);
    census.then(resolve, () => resolve(null)).finally(() => clearTimeout(timer));
  });
}
