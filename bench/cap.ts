/**
 * How much of what an IP may send is really sent, on the test clock: mail that comes by chance all day long, and a campaign
 * that comes at 09:00 at once. What is refused waits in the queue of its sender, up to midnight.
 */
import { advanceTo } from '../src/fleet/test-clock.ts';
import { createSender, type Sender } from '../src/sender/index.ts';
import { HOUR_MS, MINUTE_MS } from '../src/warmup/units.ts';
import { type Part, type PartOptions, withClosing } from './part.ts';
import type { Row } from './report.ts';
import { addWarmingIps, openStage, type Stage } from './stage.ts';

const MIDNIGHT = Date.parse('2026-01-10T00:00:00Z');
const DAY = 24 * HOUR_MS;
/** Warm-up day 5 of the default plan: 1 000 sends in the day, at most 77 in an hour. */
const [PLAN, WARMUP_DAY, CAP] = ['fourteen-day+sendgrid-hourly', 5, 1_000];
/** A fifth more than there is room for. */
const OFFERED = 1_200;
const SENDERS = 4;
const CAMPAIGN_AT = 9 * HOUR_MS;

/** Sends what it may of `waiting` mails at one instant of the day, and says how many. */
type Policy = (waiting: number, nowMs: number) => Promise<number>;

export const cap: Part = {
  title: `how much of the cap is used (warm-up day ${WARMUP_DAY}, ${CAP} sends)`,
  inAll: false,
  async run(options) {
    const arrivals = {
      'mail by chance (Poisson)': byChance(OFFERED),
      'campaign at 09:00': campaign(OFFERED),
    };
    const rows: Row[] = [];
    for (const [index, [pattern, atMs]] of Object.entries(arrivals).entries()) {
      const add = (how: string, used: number) => {
        const percent = (100 * used) / CAP;
        rows.push({
          figure: `${pattern}, ${how}`,
          measured: { median: percent, low: percent, high: percent },
          unit: '%',
        });
      };
      add('naive windows of an hour', await passDay(atMs, options, naive()));
      add('takes', await onStage(atMs, options, takes));
      add(`leases of ${SENDERS} senders`, await onStage(atMs, options, leases));
      options.step(index + 1, 2);
    }
    return { rows };
  },
};

/** Instants from midnight on; the same in every run. */
function byChance(count: number): number[] {
  let seed = 4711;
  const random = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return (seed + 1) / 2 ** 32;
  };
  let atMs = 0;
  return Array.from({ length: count }, () => {
    atMs += (-Math.log(random()) * DAY) / count;
    return atMs;
  });
}

const campaign = (count: number): number[] => Array.from({ length: count }, () => CAMPAIGN_AT);

async function passDay(
  arrivals: readonly number[],
  { quick }: PartOptions,
  send: Policy,
  moveTo: (ms: number) => Promise<unknown> = async () => {},
): Promise<number> {
  const stepMs = quick ? 5 * MINUTE_MS : MINUTE_MS;
  let [arrived, sent] = [0, 0];
  for (let nowMs = 0; nowMs < DAY; nowMs += stepMs) {
    while (arrived < arrivals.length && arrivals[arrived]! <= nowMs) arrived += 1;
    await moveTo(nowMs);
    if (arrived > sent) sent += await send(arrived - sent, nowMs);
  }
  return sent;
}

/** The day's limit in 24 equal windows, as a job that runs every hour would do it. */
function naive(): Policy {
  const perHour = Math.floor(CAP / 24);
  let [hour, used] = [-1, 0];
  return async (waiting, nowMs) => {
    const thisHour = Math.floor(nowMs / HOUR_MS);
    if (thisHour !== hour) [hour, used] = [thisHour, 0];
    const now = Math.min(waiting, perHour - used);
    used += now;
    return now;
  };
}

async function onStage(
  arrivals: readonly number[],
  options: PartOptions,
  policyOf: (senders: readonly Sender[], ip: string) => Policy,
): Promise<number> {
  return withClosing(async (closing) => {
    const stage: Stage = await openStage({ testClockMs: MIDNIGHT });
    closing(stage.close);
    const [ip] = await addWarmingIps(stage.tenant, 1, { plan: PLAN, startDay: WARMUP_DAY });
    const senders: Sender[] = [];
    for (let count = 0; count < SENDERS; count += 1) {
      const sender = await createSender({ redisUrl: stage.url, testClock: true });
      closing(sender.close);
      senders.push(sender);
    }
    const policy = policyOf(senders, ip!.address);
    return passDay(arrivals, options, policy, (ms) =>
      advanceTo(stage.engine, MIDNIGHT + ms, { work: false }),
    );
  });
}

function takes(senders: readonly Sender[], ip: string): Policy {
  return async (waiting) => {
    for (let sent = 0; sent < waiting; sent += 1) {
      const { allowed } = await senders[sent % senders.length]!.take({ ip });
      if (!allowed) return sent;
    }
    return waiting;
  };
}

/** Longer than a call to Redis takes here, however busy the machine is. */
const PATIENCE_MS = 250;

/**
 * Between two instants of this clock lie minutes, and a lease lasts a second: whoever holds one gives back what is left of it
 * and opens another, as a sender does that had nothing to send for so long.
 */
function leases(senders: readonly Sender[], ip: string): Policy {
  return async (waiting) => {
    const opened = senders.map((sender) => sender.lease({ ip }));
    let [sent, dry] = [0, 0];
    while (sent < waiting && dry < opened.length) {
      const one = opened[(sent + dry) % opened.length]!;
      const got = one.tryTake() ?? (await one.take(1, { timeoutMs: PATIENCE_MS }).catch(() => null));
      if (got) [sent, dry] = [sent + 1, 0];
      else dry += 1;
    }
    await Promise.all(opened.map((one) => one.close()));
    return sent;
  };
}
