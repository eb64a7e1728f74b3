/** What the worker tells Prometheus: how its ticks go, and what waits in its queues. In docs/metrics.md each has its sentence. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { TickResult } from '../fleet/tick.ts';

/** From a tick that finds nothing to a share of a large sweep. */
const TICK_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export type WorkerMetrics = {
  ticked(kind: 'tick' | 'share', ms: number, outcome: 'done' | 'divided' | 'resting' | 'failed'): void;
  advanced(result: TickResult): void;
  clockStepped(ms: number): void;
};

export function createWorkerMetrics(registry: Registry): WorkerMetrics {
  const registers = [registry];
  const durations = new Histogram({
    name: 'warmline_tick_duration_seconds',
    help: 'How long ticks, and shares of a large sweep, took.',
    labelNames: ['kind'] as const,
    buckets: TICK_BUCKETS,
    registers,
  });
  const ticks = new Counter({
    name: 'warmline_ticks_total',
    help: 'Ticks and shares by outcome.',
    labelNames: ['kind', 'outcome'] as const,
    registers,
  });
  const lastTick = new Gauge({
    name: 'warmline_last_tick_timestamp_seconds',
    help: 'When this worker ended a tick last, in Unix time; 0 before the first.',
    registers,
  });
  const published = new Counter({
    name: 'warmline_ips_published_total',
    help: 'IPs that were due, looked at and published.',
    registers,
  });
  const statuses = new Counter({
    name: 'warmline_status_changes_total',
    help: 'Status changes that this worker made.',
    labelNames: ['from', 'to'] as const,
    registers,
  });
  const failed = new Counter({
    name: 'warmline_ips_failed_total',
    help: 'IPs that could not be advanced; each counts again on every tick.',
    registers,
  });
  const steps = new Counter({
    name: 'warmline_redis_clock_steps_total',
    help: 'How often the clock of a Redis stepped by five seconds or more.',
    labelNames: ['direction'] as const,
    registers,
  });
  // What happens rarely is there from the start: Prometheus sees an increase only between two numbers.
  for (const direction of ['forward', 'back']) steps.inc({ direction }, 0);
  return {
    ticked(kind, ms, outcome) {
      durations.observe({ kind }, ms / 1000);
      ticks.inc({ kind, outcome });
      if (outcome !== 'failed') lastTick.set(Date.now() / 1000);
    },
    advanced({ published: count, changes, failed: notAdvanced }) {
      published.inc(count);
      failed.inc(notAdvanced.length);
      for (const { what, from, to } of changes)
        if (what === 'status') statuses.inc({ from: String(from), to: String(to) });
    },
    clockStepped(ms) {
      steps.inc({ direction: ms > 0 ? 'forward' : 'back' });
    },
  };
}

export type WebhookMetrics = {
  queued(type: string): void;
  tried(outcome: 'delivered' | 'failed' | 'given_up', ms: number): void;
};

export function createWebhookMetrics(registry: Registry): WebhookMetrics {
  const registers = [registry];
  const events = new Counter({
    name: 'warmline_webhook_events_total',
    help: 'Events put into the queue, one for each webhook that wants it.',
    labelNames: ['type'] as const,
    registers,
  });
  const deliveries = new Counter({
    name: 'warmline_webhook_deliveries_total',
    help: 'Attempts to send an event by outcome.',
    labelNames: ['outcome'] as const,
    registers,
  });
  for (const outcome of ['delivered', 'failed', 'given_up']) deliveries.inc({ outcome }, 0);
  const durations = new Histogram({
    name: 'warmline_webhook_delivery_seconds',
    help: 'How long receivers took to answer, or to fail.',
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  return {
    queued: (type) => events.inc({ type }),
    tried(outcome, ms) {
      deliveries.inc({ outcome });
      durations.observe(ms / 1000);
    },
  };
}

type Counts = () => Promise<Record<string, number>>;
const queuesOf = new WeakMap<Registry, [queue: string, counts: Counts][]>();

/** How many jobs a queue has in each state, asked when somebody looks; left out while Redis does not answer. */
export function watchQueue(registry: Registry, queue: string, counts: Counts): void {
  const known = queuesOf.get(registry);
  if (known) return void known.push([queue, counts]);
  const queues: [string, Counts][] = [[queue, counts]];
  queuesOf.set(registry, queues);
  new Gauge({
    name: 'warmline_queue_jobs',
    help: 'Jobs by queue and state.',
    labelNames: ['queue', 'state'] as const,
    registers: [registry],
    async collect() {
      const found = await Promise.all(
        queues.map(async ([name, ask]) => [name, await inTime(ask())] as const),
      );
      this.reset();
      for (const [name, states] of found)
        for (const [state, count] of Object.entries(states)) this.set({ queue: name, state }, count);
    },
  });
}

/** A queue waits for its Redis for ever; who looks does not. */
const COUNTED_WITHIN_MS = 1_000;

function inTime(counts: Promise<Record<string, number>>): Promise<Record<string, number>> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({}), COUNTED_WITHIN_MS);
    counts.then(resolve, () => resolve({})).finally(() => clearTimeout(timer));
  });
}
