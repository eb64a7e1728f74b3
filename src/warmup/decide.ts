/**
 * Every decision about one IP, pure: the record and the instant go in, the new record and the reason come out. The reason
 * goes unchanged into the account's stream, the log and the API. What the status forbids is a conflict, and says why.
 */
import { checkDayStartsAt, checkZone } from './calendar.ts';
import {
  ACCOUNT_SCOPE,
  type Ceiling,
  type DedicatedIp,
  type Hold,
  isOwnHold,
  NO_CEILING,
  RECORD_VERSION,
} from './dedicated-ip.ts';
import { conflict, invalid } from './errors.ts';
import { mayFollow, type Status } from './lifecycle.ts';
import { type Plan, planDigest } from './plan.ts';
import { isHeld, nextDayAt, settlePause, warmupDayAt } from './progress.ts';
import { DAY_MS } from './units.ts';

/** One line of an account's stream: who changed what, from what to what, and why. */
export type Change = { what: string; from: unknown; to: unknown; because: string; by: string };
export type Decision = { ip: DedicatedIp; changes: Change[] };

const unchanged = (ip: DedicatedIp): Decision => ({ ip, changes: [] });

function move(ip: DedicatedIp, to: Status, nowMs: number, because: string, by: string): Decision {
  if (!mayFollow(ip.status, to)) {
    throw conflict(`${ip.address} is ${ip.status}, so it cannot become ${to}`, { status: ip.status });
  }
  return {
    ip: { ...ip, status: to, statusSinceMs: nowMs },
    changes: [{ what: 'status', from: ip.status, to, because, by }],
  };
}

export type NewIp = Pick<DedicatedIp, 'id' | 'address' | 'region' | 'hostname' | 'bind' | 'leased'> &
  Partial<Pick<DedicatedIp, 'whitelabeled' | 'autoWarmup' | 'parentAssigned' | 'subusers'>> & {
    status: 'provisioning' | 'active';
  };

export function create(given: NewIp, nowMs: number, by: string): Decision {
  const because =
    given.status === 'active'
      ? 'brought by the account, already warm'
      : 'an address was taken from the inventory';
  return {
    ip: {
      version: RECORD_VERSION,
      rev: 0,
      whitelabeled: true,
      autoWarmup: false,
      parentAssigned: true,
      subusers: [],
      ...given,
      statusSinceMs: nowMs,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      labels: {},
      ceiling: NO_CEILING,
      holds: [],
      pools: [],
      warmup: null,
      cooldown: null,
      history: [],
    },
    changes: [{ what: 'status', from: null, to: given.status, because, by }],
  };
}

export type StartOptions = {
  zone: string;
  /** Size of the bucket in sends; `null` is the whole hourly cap. */
  burst: number | null;
  dayStartsAt: string;
  /** The warm-up day to begin with: 1, or more for an IP that comes half warm. */
  startDay: number;
};

/** Starts a warm-up. On an IP that is warming already nothing changes: a ramp is never restarted by accident. */
export function startWarmup(
  ip: DedicatedIp,
  plan: Plan,
  options: StartOptions,
  nowMs: number,
  by: string,
  because = `warm-up started with plan ${plan.name}`,
): Decision {
  if (ip.status === 'warming') return unchanged(ip);
  if (ip.status === 'cooldown' || ip.status === 'released') {
    throw conflict(
      ip.status === 'cooldown'
        ? `${ip.address} is in cooldown after its release; restore it before its warm-up can start`
        : `${ip.address} was released; create a new dedicated IP`,
      { status: ip.status },
    );
  }
  checkZone(options.zone);
  checkDayStartsAt(options.dayStartsAt);
  if (!Number.isInteger(options.startDay) || options.startDay < 1 || options.startDay > plan.days.length) {
    throw invalid(
      'startDay',
      `startDay is ${options.startDay}; plan ${plan.name} has the days 1 to ${plan.days.length}`,
    );
  }
  const standing = settled(ip, nowMs);
  const begun = move(standing.ip, 'warming', nowMs, because, by);
  return {
    changes: [...standing.changes, ...begun.changes],
    ip: settlePause(
      {
        ...begun.ip,
        warmup: {
          plan: plan.name,
          digest: planDigest(plan),
          totalDays: plan.days.length,
          zone: options.zone,
          dayStartsAt: options.dayStartsAt,
          burst: options.burst,
          startedAtMs: nowMs,
          completedAtMs: null,
          pausedAtMs: null,
          adjustments:
            options.startDay === 1
              ? []
              : [
                  {
                    atMs: nowMs,
                    days: options.startDay - 1,
                    because: `started at day ${options.startDay}`,
                    by,
                  },
                ],
        },
      },
      nowMs,
    ),
  };
}

/**
 * The record as it stands at an instant: holds that are over are gone, each with a line of its own, and progress goes on
 * from where they ended. Every change of holds or status begins here, since the worker may not have come by since.
 */
function settled(before: DedicatedIp, nowMs: number): Decision {
  const ip = settlePause(before, nowMs);
  const changes = before.holds
    .filter((hold) => !ip.holds.includes(hold))
    .map((hold) => ({
      what: 'hold',
      from: hold,
      to: null,
      because: 'the hold reached its end',
      by: 'engine',
    }));
  return { ip, changes };
}

/** Is it time for the worker to start the warm-up by itself? Not while progress is on hold. */
const startsByItself = (ip: DedicatedIp) =>
  ip.status === 'provisioning' && ip.autoWarmup && !ip.holds.some((hold) => hold.advance);

/** Are all days of its warm-up over, so that it becomes active? */
const isOver = ({ status, warmup, ...rest }: DedicatedIp, nowMs: number) =>
  status === 'warming' &&
  warmup !== null &&
  warmupDayAt({ ...rest, status, warmup }, nowMs) > warmup.totalDays;

/**
 * What is due at an instant: a hold that is over, a warm-up that begins or is complete, a cooldown that has ended.
 * @param planOfItself the plan of a warm-up that begins by itself
 */
export function advance(before: DedicatedIp, nowMs: number, planOfItself: Plan | null = null): Decision {
  const { ip, changes } = settled(before, nowMs);
  if (planOfItself && startsByItself(ip)) {
    const options = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay: 1 };
    const because = `it is provisioned, and set to warm up by itself with plan ${planOfItself.name}`;
    const begun = startWarmup(ip, planOfItself, options, nowMs, 'engine', because);
    return { ip: begun.ip, changes: [...changes, ...begun.changes] };
  }
  if (ip.warmup && isOver(ip, nowMs)) {
    const { totalDays, plan } = ip.warmup;
    return complete(ip, nowMs, `all ${totalDays} days of plan ${plan} are over`, 'engine', changes);
  }
  if (ip.status === 'cooldown' && ip.cooldown && nowMs >= ip.cooldown.untilMs) {
    const released = move(ip, 'released', nowMs, 'the cooldown is over', 'engine');
    const rested = settlePause({ ...released.ip, cooldown: null }, nowMs, ip);
    return { ip: rested, changes: [...changes, ...released.changes] };
  }
  return { ip, changes };
}

function complete(ip: DedicatedIp, nowMs: number, because: string, by: string, before: Change[]): Decision {
  const active = move(ip, 'active', nowMs, because, by);
  const warmup = ip.warmup && { ...ip.warmup, completedAtMs: nowMs };
  return { ip: settlePause({ ...active.ip, warmup }, nowMs, ip), changes: [...before, ...active.changes] };
}

/** Ends a warm-up early: the IP is active from now on. */
export function endWarmup(ip: DedicatedIp, nowMs: number, by: string): Decision {
  if (ip.status !== 'warming') throw conflict(`${ip.address} is ${ip.status}, so there is no warm-up to end`);
  const standing = settled(ip, nowMs);
  return complete(standing.ip, nowMs, 'the warm-up was ended by hand', by, standing.changes);
}

/** Out of its pools and without quota at once; the address rests for `cooldownMs` and is then released. */
export function release(ip: DedicatedIp, cooldownMs: number, nowMs: number, by: string): Decision {
  if (ip.status === 'cooldown' || ip.status === 'released') {
    throw conflict(`${ip.address} was released already; it is in status ${ip.status}`, { status: ip.status });
  }
  const standing = settled(ip, nowMs);
  const because = 'the IP was released';
  const resting = move(standing.ip, 'cooldown', nowMs, because, by);
  const ofPools = standing.ip.holds.filter((hold) => !isOwnHold(hold));
  return {
    ip: settlePause(
      {
        ...resting.ip,
        pools: [],
        holds: standing.ip.holds.filter(isOwnHold),
        cooldown: { from: ip.status, sinceMs: nowMs, untilMs: nowMs + cooldownMs },
      },
      nowMs,
      standing.ip,
    ),
    changes: [
      ...standing.changes,
      ...resting.changes,
      ...ofPools.map((hold) => ({ what: 'hold', from: hold, to: null, because, by })),
      ...ip.pools.map((pool) => ({ what: 'pool', from: pool, to: null, because, by })),
    ],
  };
}

/** Out of cooldown again, to the status before it and the warm-up day it had. */
export function restore(ip: DedicatedIp, nowMs: number, by: string): Decision {
  if (ip.status !== 'cooldown' || !ip.cooldown || nowMs >= ip.cooldown.untilMs) {
    throw conflict(`${ip.address} is ${ip.status}; only an IP in cooldown can be restored`, {
      status: ip.status,
    });
  }
  const standing = settled(ip, nowMs);
  const back = move(standing.ip, ip.cooldown.from, nowMs, 'restored from cooldown', by);
  return {
    ip: settlePause({ ...back.ip, cooldown: null }, nowMs, standing.ip),
    changes: [...standing.changes, ...back.changes],
  };
}

export type HoldRequest = Pick<Hold, 'scope' | 'sending' | 'advance' | 'because' | 'by' | 'untilMs'>;

/** @throws WarmlineError `invalid` */
export function checkHold(
  { sending, advance, untilMs }: Pick<Hold, 'sending' | 'advance' | 'untilMs'>,
  nowMs: number,
): void {
  if (!sending && !advance) {
    throw invalid('sending', 'a hold stops sending, advance or both; it cannot stop neither');
  }
  if (untilMs !== null && untilMs <= nowMs) {
    throw invalid(
      'until',
      `until ${new Date(untilMs).toISOString()} is past; give a later instant or leave it out`,
    );
  }
}

/** Stops mail or progress or both, at once. A hold of the same scope is replaced. */
export function hold(ip: DedicatedIp, request: HoldRequest, nowMs: number): Decision {
  if (ip.status === 'cooldown' || ip.status === 'released') {
    throw conflict(`${ip.address} is ${ip.status} and sends nothing, so there is nothing to hold`, {
      status: ip.status,
    });
  }
  checkHold(request, nowMs);
  const { ip: standing, changes } = settled(ip, nowMs);
  const before = standing.holds.find(({ scope }) => scope === request.scope) ?? null;
  const placed: Hold = { ...request, sinceMs: nowMs };
  const holds = [...standing.holds.filter((one) => one !== before), placed];
  return {
    ip: settlePause({ ...standing, holds }, nowMs, standing),
    changes: [
      ...changes,
      { what: 'hold', from: before, to: placed, because: request.because, by: request.by },
    ],
  };
}

/** Lifts the hold of a scope. Without one nothing changes. */
export function resume(ip: DedicatedIp, scope: string, nowMs: number, by: string): Decision {
  const { ip: standing, changes } = settled(ip, nowMs);
  const held = standing.holds.find((one) => one.scope === scope);
  if (!held) return unchanged(ip);
  return {
    ip: settlePause({ ...standing, holds: standing.holds.filter((one) => one !== held) }, nowMs, standing),
    changes: [...changes, { what: 'hold', from: held, to: null, because: 'resumed', by }],
  };
}

/** Do two holds say the same, whoever placed them and whenever? */
export const isSameHold = (a: Hold, b: Hold): boolean =>
  a.sending === b.sending && a.advance === b.advance && a.because === b.because && a.untilMs === b.untilMs;

/** Puts an IP under the stop of its account; where there is none, or nothing to stop any more, nothing changes. */
export function stopWithAccount(ip: DedicatedIp, stop: Hold | null, nowMs: number): Decision {
  if (!stop || !isHeld(stop, nowMs)) return unchanged(ip);
  if (ip.status === 'cooldown' || ip.status === 'released') return unchanged(ip);
  const held = ip.holds.find(({ scope }) => scope === ACCOUNT_SCOPE);
  if (held && isSameHold(held, stop)) return unchanged(ip);
  return hold(ip, { ...stop, scope: ACCOUNT_SCOPE }, nowMs);
}

/** Puts an IP into a pool; if it is there already nothing changes. A held pool holds it from now on. */
export function joinPool(
  ip: DedicatedIp,
  pool: { id: string; name: string; hold: Hold | null },
  because: string,
  nowMs: number,
  by: string,
): Decision {
  if (ip.pools.includes(pool.id)) return unchanged(ip);
  if (ip.status === 'cooldown' || ip.status === 'released') {
    throw conflict(`${ip.address} is ${ip.status}, so it cannot join pool "${pool.name}"`, {
      status: ip.status,
    });
  }
  if (!ip.whitelabeled) {
    throw conflict(`${ip.address} has no reverse DNS, so it cannot join pool "${pool.name}"`, {
      whitelabeled: false,
    });
  }
  const joined: Decision = {
    ip: { ...ip, pools: [...ip.pools, pool.id] },
    changes: [{ what: 'pool', from: null, to: pool.id, because, by }],
  };
  if (!pool.hold || !isHeld(pool.hold, nowMs)) return joined;
  const held = hold(joined.ip, { ...pool.hold, scope: pool.id }, nowMs);
  return { ip: held.ip, changes: [...joined.changes, ...held.changes] };
}

/** Takes an IP out of a pool, and from under its hold. */
export function leavePool(
  ip: DedicatedIp,
  poolId: string,
  nowMs: number,
  by: string,
  because = 'the IP left the pool',
): Decision {
  const resumed = resume(ip, poolId, nowMs, by);
  return {
    ip: { ...resumed.ip, pools: ip.pools.filter((id) => id !== poolId) },
    changes: [...resumed.changes, { what: 'pool', from: poolId, to: null, because, by }],
  };
}

/** The ceiling that it has already changes nothing. */
export function setCeiling(ip: DedicatedIp, ceiling: Ceiling, by: string): Decision {
  if (isSame(ip.ceiling, ceiling)) return unchanged(ip);
  return {
    ip: { ...ip, ceiling },
    changes: [{ what: 'ceiling', from: ip.ceiling, to: ceiling, because: 'set by the operator', by }],
  };
}

/** What a change of an IP may name; what is not named stays as it is. */
export type IpUpdate = {
  hostname?: string | null | undefined;
  bind?: string | null | undefined;
  labels?: Record<string, string> | undefined;
  ceiling?: Partial<Ceiling> | undefined;
  autoWarmup?: boolean | undefined;
  parentAssigned?: boolean | undefined;
  subusers?: string[] | undefined;
  /** `false` stops its mail with a hold of its own, `true` lifts that. */
  enabled?: boolean | undefined;
};

/** Several fields in one change, each with its line in the stream; those that stay the same have none. */
export function update(before: DedicatedIp, given: IpUpdate, nowMs: number, by: string): Decision {
  const { enabled, ceiling, ...rest } = given;
  const fields = {
    ...rest,
    ...(ceiling === undefined ? {} : { ceiling: { ...before.ceiling, ...ceiling } }),
  };
  let ip = before;
  const changes: Change[] = [];
  for (const [what, to] of Object.entries(fields)) {
    const from = before[what as keyof typeof fields];
    if (to === undefined || isSame(from, to)) continue;
    ip = { ...ip, [what]: to };
    changes.push({ what, from, to, because: 'set by the operator', by });
  }
  const isDisabled = before.holds.some((held) => held.scope === 'v3' && isHeld(held, nowMs));
  if (enabled === undefined || enabled !== isDisabled) return { ip, changes };
  const switched = enabled ? resume(ip, 'v3', nowMs, by) : hold(ip, { ...DISABLED, by }, nowMs);
  return { ip: switched.ip, changes: [...changes, ...switched.changes] };
}

/** Fields are texts, flags, or small objects of them, written in one order. */
const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

const DISABLED = {
  scope: 'v3',
  sending: true,
  advance: false,
  because: 'the IP was disabled',
  untilMs: null,
};

/** An IP whose edges turn once a day is looked at each day while it warms up, and each five days afterwards. */
const REPUBLISH_ACTIVE_MS = 5 * DAY_MS;

/**
 * The next instant at which the worker has to look at an IP; `null` when nothing is to come. Windows are published ahead,
 * so being late costs nothing but the end of a warm-up, of a cooldown and of a hold on progress.
 */
export function nextDueAt(ip: DedicatedIp, nowMs: number): number | null {
  const ends = ip.holds.flatMap(({ untilMs }) => (untilMs === null ? [] : [untilMs]));
  switch (ip.status) {
    case 'warming':
      // A change that comes while the worker is late must not put off the end that is due.
      return isOver(ip, nowMs) ? nowMs : Math.min(nextDayAt(ip, nowMs), ...ends);
    case 'active':
      return Math.min(nowMs + REPUBLISH_ACTIVE_MS, ...ends);
    case 'cooldown':
      return ip.cooldown?.untilMs ?? null;
    case 'provisioning':
      if (startsByItself(ip)) return nowMs;
      return ends.length > 0 ? Math.min(...ends) : null;
    case 'released':
      return null;
  }
}
