/**
 * When is a campaign done? The engine's own rules on a clock that runs ahead, on copies: each IP advances as the worker would
 * advance it (`decide.ts`), is published as it would be published (`quota.ts`) and counted as the limiter counts
 * (`counter.ts`); the pool chooses by its rule. Assumed is that mail is offered as fast as there is room for it.
 *
 * The walk goes from one instant at which something can change to the next and takes all that there is, never one step for
 * each message: a few steps for each IP and hour. Where mail drips out of a bucket, what flows in within a quarter of an
 * hour is taken together.
 */
import { DateTime } from 'luxon';
import {
  type Binding,
  type CounterState,
  charge,
  type Reading,
  read,
  roomAt,
  settle,
  windowAt,
} from './counter.ts';
import { advance, nextDueAt } from './decide.ts';
import type { DedicatedIp } from './dedicated-ip.ts';
import type { Plan } from './plan.ts';
import { sendingHold } from './progress.ts';
import { type SendQuota, sendQuotaFor, type WindowLimits } from './quota.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from './units.ts';

/** An IP as it stands: its record, the rows of its plan, and what it has counted. */
export type ForecastIp = { ip: DedicatedIp; plan: Plan | null; state: CounterState };

/** What the pool itself limits. */
export type ForecastGate = {
  warmingShare: number;
  /** The hour that is counted, its sends, and those of warming IPs. */
  hourMs: number;
  used: number;
  warmingUsed: number;
  ceiling: { state: CounterState; quota: SendQuota } | null;
};

export type ForecastInput = {
  messages: number;
  nowMs: number;
  /** When the first message is offered. */
  startMs: number;
  /** Whose midnights part the days. */
  zone: string;
  ips: readonly ForecastIp[];
  gate: ForecastGate | null;
  /** Of a warm-up that begins by itself. */
  planOfItself: Plan;
};

/** What stops an IP, or its pool. */
export type ForecastBinding = Exclude<Binding, 'count' | 'status'> | 'pool';

export type ForecastDay = {
  fromMs: number;
  toMs: number;
  sends: number;
  /** By the end of this day. */
  total: number;
  /** What the IPs waited for most. */
  binds: ForecastBinding | null;
  /** How many IPs carry them. */
  ipCount: number;
  /** Which; empty where there are more than `MOST_IPS_BY_DAY` in all. */
  byIp: ReadonlyMap<string, number>;
};

export type Forecast = {
  /** The last message leaves; `null` when that is not within the days looked at. */
  finishesAtMs: number | null;
  sent: number;
  /** Nothing is known of what comes later. */
  untilMs: number;
  days: ForecastDay[];
  /** In the order in which they came. `never`: why it sends nothing, if that stays so. */
  ips: { ip: DedicatedIp; sends: number; never: 'status' | 'hold' | null }[];
};

export const MOST_DAYS = 366;
/** After so many steps, two milliseconds, others may have a turn. */
const STEPS_AT_ONCE = 200;
/** A year of days of ten thousand IPs is more than anybody reads. */
const MOST_IPS_BY_DAY = 1_000;
/** How finely a bucket is emptied; while so much is left that this many hours of it change nothing, hour by hour. */
const DRIP_MS = 15 * MINUTE_MS;
const FAR_HOURS = 4;

type Member = {
  ip: DedicatedIp;
  plan: Plan | null;
  quota: SendQuota;
  /** The same with a bucket of any size: what flows in while all of it is taken at once never reaches the brim. */
  wide: SendQuota;
  state: CounterState;
  isDraining: boolean;
  dueAtMs: number | null;
  nextMs: number;
  sends: number;
  /** The last day on which it sent. */
  lastDayMs: number;
};

/** Of what has not been published yet. */
const UNPUBLISHED: SendQuota = {
  ...{ gate: 'closed', heldUntilMs: 0, fromMs: 0, toMs: 0, edgesMs: [] },
  current: { dailyLimit: 0, hourlyCap: 0, burst: null, dailyByCeiling: false, hourlyByCeiling: false },
  next: { dailyLimit: 0, hourlyCap: 0, burst: null, dailyByCeiling: false, hourlyByCeiling: false },
};

/** To be run to its end; it pauses where somebody else may have a turn, and ends early when it is handed `true`. */
export function* forecast(input: ForecastInput): Generator<undefined, Forecast, boolean | undefined> {
  const { messages, nowMs, startMs, planOfItself } = input;
  const gate = input.gate && { ...input.gate, ceiling: input.gate.ceiling && { ...input.gate.ceiling } };
  const endMs = startMs + MOST_DAYS * DAY_MS;
  const diary = openDiary(startMs, input.zone, input.ips.length <= MOST_IPS_BY_DAY);
  const queue = createQueue();
  const members = input.ips.map(({ ip, plan, state }): Member => {
    const nothing = { isDraining: false, dueAtMs: nowMs, nextMs: nowMs, sends: 0, lastDayMs: 0 };
    return { ip, plan, quota: UNPUBLISHED, wide: UNPUBLISHED, state, ...nothing };
  });
  for (const member of members) queue.push(member);

  let left = messages;
  let atMs = nowMs;
  let steps = 0;
  let isStopped = false;
  while (left > 0 && !isStopped) {
    const group = queue.popNext();
    if (group.length === 0 || group[0]!.nextMs > endMs) break;
    atMs = group[0]!.nextMs;
    const ready: { member: Member; reading: Reading }[] = [];
    for (const member of group) {
      steps += 1;
      if (steps % STEPS_AT_ONCE === 0) isStopped = (yield) ?? isStopped;
      if (member.dueAtMs !== null && member.dueAtMs <= atMs) turn(member, atMs, planOfItself);
      const reading = read(member.state, member.isDraining ? member.wide : member.quota, atMs);
      member.state = reading.state;
      if (atMs >= startMs && reading.room >= 1) ready.push({ member, reading });
    }
    for (const { member, sends } of spread(ready, left, gate, atMs)) {
      member.state = charge(member.state, sends);
      member.sends += sends;
      diary.book(atMs, member, sends);
      left -= sends;
    }
    const poolRoomAtMs = gate?.ceiling ? roomAt(gate.ceiling.state, gate.ceiling.quota, atMs, 1) : null;
    const ahead = { poolRoomAtMs, isAlone: gate === null, dayEndsAtMs: diary.dayEndsAt(atMs) };
    for (const member of group) {
      steps += 1;
      if (steps % STEPS_AT_ONCE === 0) isStopped = (yield) ?? isStopped;
      const waits = whenNext(member, atMs, { ...ahead, enough: Math.ceil(left / members.length) });
      const nextMs = atMs < startMs ? beforeStart(member, startMs) : waits.nextMs;
      if (atMs >= startMs && left > 0 && waits.binds) diary.wait(atMs, waits.binds, (nextMs ?? endMs) - atMs);
      if (nextMs === null) continue;
      member.nextMs = Math.max(nextMs, atMs + 1);
      queue.push(member);
    }
  }
  const isDone = left === 0;
  const untilMs = isDone || isStopped ? atMs : endMs;
  return {
    finishesAtMs: isDone ? atMs : null,
    sent: messages - left,
    untilMs,
    days: diary.close(),
    ips: members.map(({ ip, sends, quota }, index) => ({
      ip: input.ips[index]!.ip,
      sends,
      never: sends > 0 ? null : quota.gate === 'closed' ? 'status' : sendsNever(ip, atMs) ? 'hold' : null,
    })),
  };
}

/** A hold without an end stays. */
const sendsNever = (ip: DedicatedIp, atMs: number) => sendingHold(ip, atMs)?.untilMs === null;

/** What the worker does when an IP is due: the record goes on, and its quota is published. */
function turn(member: Member, atMs: number, planOfItself: Plan): void {
  const before = member.ip;
  if (member.quota !== UNPUBLISHED) {
    member.state = settle(member.state, member.isDraining ? member.wide : member.quota, atMs);
  }
  const { ip } = advance(before, atMs, planOfItself);
  if (before.status === 'provisioning' && ip.status === 'warming') member.plan = planOfItself;
  member.ip = ip;
  member.quota = sendQuotaFor(ip, member.plan, atMs);
  member.wide = { ...member.quota, current: widened(member.quota.current), next: widened(member.quota.next) };
  const dueAtMs = nextDueAt(ip, atMs);
  member.dueAtMs = dueAtMs === null ? null : Math.max(dueAtMs, atMs + 1);
}

/** More than flows in within a day at the highest cap of any schedule, and its units are still counted exactly. */
const ANY_SIZE = 2_000_000_000;
const widened = (limits: WindowLimits): WindowLimits =>
  limits.burst === null ? limits : { ...limits, burst: ANY_SIZE };

/** Until the first message is offered there is only the worker's work. */
const beforeStart = ({ dueAtMs }: Member, startMs: number) =>
  dueAtMs === null ? startMs : Math.min(dueAtMs, startMs);

type Ahead = {
  poolRoomAtMs: number | null;
  /** Nothing but its own limits binds it. */
  isAlone: boolean;
  dayEndsAtMs: number;
  /** Sends that would do: towards the end a bucket is emptied more finely. */
  enough: number;
};

/** When has an IP to be looked at again, and what does it wait for? */
function whenNext(
  member: Member,
  atMs: number,
  { poolRoomAtMs, isAlone, dayEndsAtMs, enough }: Ahead,
): { nextMs: number | null; binds: ForecastBinding | null } {
  const { state, dueAtMs, quota, wide } = member;
  const soonest = (otherMs: number | null) =>
    otherMs === null ? dueAtMs : dueAtMs === null ? otherMs : Math.min(otherMs, dueAtMs);
  const { room, binds } = read(state, member.isDraining ? wide : quota, atMs);
  member.isDraining = false;
  // What never sends holds up nothing: the campaign goes without it.
  if (binds === 'status') return { nextMs: dueAtMs, binds: null };
  if (sendsNever(member.ip, atMs)) return { nextMs: null, binds: null };
  // It has room and was not asked: its pool has none.
  if (room >= 1) return { nextMs: soonest(poolRoomAtMs), binds: 'pool' };
  if (binds !== 'burst') return { nextMs: soonest(roomAt(state, quota, atMs, 1)), binds: ofLimit(binds) };

  member.isDraining = true;
  const window = windowAt(quota, state.atMs);
  const { dailyLimit, hourlyCap } = window.limits;
  const missing = Math.min(
    Math.max(1, enough),
    (dailyLimit ?? Number.POSITIVE_INFINITY) - state.dayUsed,
    (hourlyCap ?? Number.POSITIVE_INFINITY) - state.hourUsed,
  );
  const oneMs = roomAt(state, wide, atMs, 1) ?? window.toMs;
  const allMs = roomAt(state, wide, atMs, missing) ?? window.toMs;
  // What flows in before the hour ends has to leave before it ends; what does before midnight counts to that day.
  const endsAtMs = Math.min(state.hourFromMs + HOUR_MS, window.toMs, dayEndsAtMs);
  const lastMs = oneMs < endsAtMs ? endsAtMs - 1 : oneMs;
  const isFar = isAlone && enough > FAR_HOURS * (hourlyCap ?? dailyLimit ?? 0);
  const dripMs = atMs + (isFar ? HOUR_MS : DRIP_MS);
  const nextMs = soonest(Math.min(Math.max(oneMs, Math.min(dripMs, allMs)), lastMs));
  // A bucket as big as the hourly cap fills as fast as that cap allows, so it is the cap that binds.
  return { nextMs, binds: window.limits.burst === hourlyCap ? 'hour' : 'burst' };
}

const ofLimit = (binds: Binding | null) => (binds === 'count' || binds === 'status' ? null : binds);

// ---- the choice of a pool: `lua/score.lua` and `spread` in `lua/pool.lua`

const [UNIT, BAND] = [2 ** 40, 2 ** 41];

/** The place in the order of choice, lowest first. */
function placeOf({ quota }: Member, { state }: Reading): number {
  const { dailyLimit, hourlyCap } = windowAt(quota, state.atMs).limits;
  if (dailyLimit === null && hourlyCap === null) return BAND + state.hourUsed;
  const used = Math.max(
    dailyLimit === null ? 0 : state.dayUsed / dailyLimit,
    hourlyCap === null ? 0 : state.hourUsed / hourlyCap,
  );
  return (quota.gate === 'warming' ? 0 : BAND) + Math.floor(used * UNIT);
}

/** Spreads what is left over those with room, as one take that welcomes fewer would be spread; books it on the pool. */
function spread(
  ready: readonly { member: Member; reading: Reading }[],
  left: number,
  gate: ForecastGate | null,
  atMs: number,
): { member: Member; sends: number }[] {
  if (ready.length === 0) return [];
  const inOrder = ready
    .map(({ member, reading }) => ({ member, room: reading.room, place: placeOf(member, reading), sends: 0 }))
    .sort((a, b) => a.place - b.place || (a.member.ip.address < b.member.ip.address ? -1 : 1));
  const ceiling = gate?.ceiling ?? null;
  const ceilingReading = ceiling && read(ceiling.state, ceiling.quota, atMs);
  let missing = Math.min(left, ceilingReading?.room ?? left);
  let warmingMay = Number.POSITIVE_INFINITY;
  if (gate) {
    const hourMs = Math.floor(atMs / HOUR_MS) * HOUR_MS;
    if (hourMs > gate.hourMs) Object.assign(gate, { hourMs, used: 0, warmingUsed: 0 });
    if (gate.warmingShare < 1) {
      warmingMay = Math.max(0, Math.floor(gate.warmingShare * (gate.used + left)) - gate.warmingUsed);
    }
  }
  // The share bounds warming IPs only while an active one has room.
  for (const isBounded of [true, false]) {
    for (const one of inOrder) {
      if (missing === 0) break;
      const isWarming = one.place < BAND;
      const most = isBounded && isWarming ? warmingMay : Number.POSITIVE_INFINITY;
      const sends = Math.min(missing, one.room - one.sends, most);
      if (sends < 1) continue;
      one.sends += sends;
      missing -= sends;
      if (isWarming) warmingMay -= sends;
      if (isWarming && gate) gate.warmingUsed += sends;
      if (gate) gate.used += sends;
    }
  }
  const chosen = inOrder.filter(({ sends }) => sends > 0);
  if (ceiling && ceilingReading) {
    const total = chosen.reduce((sum, { sends }) => sum + sends, 0);
    ceiling.state = charge(ceilingReading.state, total);
  }
  return chosen;
}

// ---- the days

type OpenDay = ForecastDay & { byIp: Map<string, number>; waits: Map<ForecastBinding, number> };

/** Instants only grow. */
function openDiary(startMs: number, zone: string, namesIps: boolean) {
  const days: OpenDay[] = [];
  let total = 0;
  function begin(from: DateTime): OpenDay {
    const day: OpenDay = {
      fromMs: from.toMillis(),
      toMs: from.plus({ days: 1 }).startOf('day').toMillis(),
      ...{ sends: 0, total, binds: null, ipCount: 0, byIp: new Map(), waits: new Map() },
    };
    days.push(day);
    return day;
  }
  let today = begin(DateTime.fromMillis(startMs, { zone }).startOf('day'));
  function dayOf(atMs: number): OpenDay {
    while (atMs >= today.toMs) today = begin(DateTime.fromMillis(today.toMs, { zone }));
    return today;
  }
  return {
    book(atMs: number, member: Member, sends: number) {
      const day = dayOf(atMs);
      if (member.lastDayMs !== day.fromMs) day.ipCount += 1;
      member.lastDayMs = day.fromMs;
      total += sends;
      day.sends += sends;
      day.total = total;
      const { address } = member.ip;
      if (namesIps) day.byIp.set(address, (day.byIp.get(address) ?? 0) + sends);
    },
    dayEndsAt: (atMs: number) => (atMs < startMs ? Number.POSITIVE_INFINITY : dayOf(atMs).toMs),
    wait(atMs: number, binds: ForecastBinding, ms: number) {
      const { waits } = dayOf(atMs);
      waits.set(binds, (waits.get(binds) ?? 0) + ms);
    },
    /** Days behind the last one on which something left say nothing. */
    close(): ForecastDay[] {
      const last = days.findLastIndex(({ sends }) => sends > 0);
      return days.slice(0, last + 1).map(({ waits, ...day }) => {
        // Where IPs had room and their pool had none, it is the pool that held it up.
        const [longest] = [...waits].sort((a, b) => b[1] - a[1]);
        return { ...day, binds: waits.has('pool') ? 'pool' : (longest?.[0] ?? null) };
      });
    },
  };
}

// ---- what comes next

/** IPs by the instant at which they have to be looked at: a binary heap, the soonest on top. */
function createQueue() {
  const heap: Member[] = [];
  const atOf = (index: number) => heap[index]?.nextMs ?? Number.POSITIVE_INFINITY;
  function swap(a: number, b: number): void {
    [heap[a], heap[b]] = [heap[b]!, heap[a]!];
  }
  function pop(): Member {
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    heap[0] = last;
    for (let index = 0; ; ) {
      const child = atOf(2 * index + 1) <= atOf(2 * index + 2) ? 2 * index + 1 : 2 * index + 2;
      if (atOf(child) >= atOf(index)) break;
      swap(index, child);
      index = child;
    }
    return top;
  }
  return {
    push(member: Member) {
      heap.push(member);
      for (let index = heap.length - 1; index > 0; ) {
        const parent = (index - 1) >> 1;
        if (atOf(parent) <= atOf(index)) break;
        swap(index, parent);
        index = parent;
      }
    },
    /** All whose turn comes first. */
    popNext(): Member[] {
      if (heap.length === 0) return [];
      const group = [pop()];
      while (heap.length > 0 && heap[0]!.nextMs === group[0]!.nextMs) group.push(pop());
      return group;
    },
  };
}

/** All of it at once, for those who hold up nobody. */
export function forecastAtOnce(input: ForecastInput): Forecast {
  const walk = forecast(input);
  for (let step = walk.next(); ; step = walk.next()) if (step.done) return step.value;
}
