/**
 * Why is the mail held? What the limiter read when it decided on a take, and the same in sentences. Nothing is decided here:
 * every number comes from the script that decides (`src/redis/lua/explain.lua`). Times are told on the clock of the IP's zone.
 */
import type { Binding } from './counter.ts';
import { ACCOUNT_SCOPE, type DedicatedIp, type Hold, isOwnHold } from './dedicated-ip.ts';
import { sendingHold } from './progress.ts';
import { counted, grouped, timeAndWait } from './words.ts';

/** A limit as it stands: most sends, those used, and when it begins anew. `null` is unlimited. */
export type Gauge = { limit: number | null; used: number; fromMs: number; toMs: number };

/** What a take read of a counter: that of an IP, or of a pool's ceiling. */
export type Explained = {
  /** Sends now; infinity is unlimited. */
  room: number;
  binds: Binding | null;
  /** Of the limit that binds; -1 is unlimited. */
  limit: number;
  remaining: number;
  resetsAtMs: number;
  /** When it has room for the take if nobody else takes; `null` is never. */
  roomAtMs: number | null;
  /** How many sends it then has room for. */
  roomThen: number;
  day: Gauge;
  hour: Gauge;
  bucket: { size: number; level: number; fullAtMs: number } | null;
};

export type ExplainedIp = Explained & {
  ip: string;
  ipId: string;
  /** Sends that it would grant. */
  granted: number;
  /** Its record; `null` when it was gone a moment later. */
  record: DedicatedIp | null;
};

export type ExplainedPool = {
  id: string;
  name: string;
  warmingShare: number;
  /** Of the running hour: all its sends, and those of warming IPs. */
  used: number;
  warmingUsed: number;
  /** Most sends that warming IPs may have of this take while an active one has room; `null` is no limit. */
  warmingMay: number | null;
  ceiling: Explained | null;
};

export type Explanation = {
  nowMs: number;
  count: number;
  partial: boolean;
  verdict: {
    granted: readonly { ip: string; count: number }[];
    retryAfterMs: number | null;
    because: { code: string } | null;
  };
  /** One IP was named. */
  isOneIp: boolean;
  pool: ExplainedPool | null;
  /** IPs of the pool or the account; of these the first in the order of choice are `ips`. */
  ipCount: number;
  ips: readonly ExplainedIp[];
};

/** Does the pool deny what this IP would give? */
export const poolDenies = ({ pool, verdict, partial, count }: Explanation, { room }: Explained): boolean =>
  verdict.granted.length === 0 && room >= 1 && isShort(pool?.ceiling ?? null, partial ? 1 : count);

const isShort = (ceiling: Explained | null, need: number) => ceiling !== null && ceiling.room < need;

export const zoneOf = ({ record }: ExplainedIp) => record?.warmup?.zone ?? 'UTC';

/** One IP, in one sentence. */
export const sentenceOfIp = (explanation: Explanation, ip: ExplainedIp): string =>
  `${ip.ip} ${said(explanation, ip)}.`;

/** What is said of an IP, after its name. */
function said(explanation: Explanation, ip: ExplainedIp): string {
  const { nowMs, count, partial, verdict } = explanation;
  if (ip.granted > 0) {
    const left = ip.room - ip.granted;
    const more = left === 0 ? ' and has no more room' : ` and has room for ${grouped(left)} more`;
    const rest = Number.isFinite(left) ? more : '';
    return `gives ${counted(ip.granted, 'send')}${rest}`;
  }
  if (verdict.because?.code === 'unpublished') {
    return 'gives no mail, because the worker has published nothing for it yet';
  }
  if (ip.binds === 'status') {
    const status = ip.record?.status ?? 'not sending';
    return `is ${status}, and that status gives no mail${status === 'provisioning' ? '; start its warm-up' : ''}`;
  }
  if (ip.binds === 'hold') return held(ip, nowMs);
  if (poolDenies(explanation, ip)) return `has room for ${sendsOf(ip.room)}, but its pool has not`;
  const need = partial ? 1 : count;
  if (ip.room >= need) {
    return `has room for ${sendsOf(ip.room)}${verdict.granted.length > 0 ? ' and was not needed' : ''}`;
  }
  return `${usedUp(ip)}; ${later(ip, need, nowMs, zoneOf(ip))}`;
}

const sendsOf = (room: number) => (Number.isFinite(room) ? counted(room, 'send') : 'any number of sends');

/** `used its 20 sends of this hour`, `used 17 of its 20 sends of this hour` */
function usedUp(of: Explained): string {
  if (of.binds === 'burst') {
    return of.remaining === 0
      ? 'has an empty bucket'
      : `has ${counted(of.remaining, 'send')} in its bucket of ${grouped(of.limit)}`;
  }
  const isHour = of.resetsAtMs === of.hour.toMs && of.hour.limit === of.limit;
  const span = isHour ? 'hour' : 'day';
  const limit =
    of.binds === 'ceiling'
      ? `the ${grouped(of.limit)} sends of its ceiling`
      : `its ${counted(of.limit, 'send')}`;
  const used = of.remaining === 0 ? '' : `${grouped(of.limit - of.remaining)} of `;
  return `used ${used}${limit} of this ${span}`;
}

function later(of: Explained, need: number, nowMs: number, zone: string): string {
  if (of.roomAtMs === null) return `${counted(need, 'send')} at once never fit its limits`;
  const more = Number.isFinite(of.roomThen) ? `${grouped(of.roomThen)} more` : 'without a limit';
  return `${more} from ${timeAndWait(of.roomAtMs, nowMs, zone)}`;
}

function held(ip: ExplainedIp, nowMs: number): string {
  const hold: Hold | null = ip.record && sendingHold(ip.record, nowMs);
  if (!hold) return 'is held';
  const until =
    hold.untilMs === null
      ? 'until somebody resumes it'
      : `until ${timeAndWait(hold.untilMs, nowMs, zoneOf(ip))}`;
  const whose =
    hold.scope === ACCOUNT_SCOPE
      ? 'is held with the whole account'
      : isOwnHold(hold)
        ? 'is held'
        : 'is held with its pool';
  return `${whose} by ${hold.by}, ${until}: ${hold.because || 'no reason was given'}`;
}

/** The whole take, in words that a person understands. */
export function sentenceOf(explanation: Explanation): string {
  const { verdict, count, partial, ips, pool, isOneIp, nowMs } = explanation;
  const granted = verdict.granted.reduce((sum, one) => sum + one.count, 0);
  const need = partial ? 1 : count;
  if (granted === count) return `${counted(count, 'send')} may go now, ${from(verdict.granted)}.`;
  if (granted > 0) {
    const cut = isShort(pool?.ceiling ?? null, count) ? ` ${ceilingOf(pool!, count, nowMs)}` : '';
    return `${grouped(granted)} of ${counted(count, 'send')} may go now, ${from(verdict.granted)}; the rest has no room.${cut}`;
  }
  if (pool && isShort(pool.ceiling, need)) return ceilingOf(pool, need, nowMs);
  const of = pool ? `pool ${pool.name}` : 'the account';
  if (ips.length === 0) {
    return isOneIp
      ? 'Nothing is published for this IP, so it may send nothing.'
      : `No IP of ${of} fits: ${fitting(explanation)}.`;
  }
  if (ips.length === 1) return sentenceOfIp(explanation, ips[0]!);
  const many = `None of the ${counted(explanation.ipCount, 'IP')} of ${of} has room${need > 1 ? ` for ${counted(need, 'send')}` : ''}: ${tally(ips)}${ips.length < explanation.ipCount ? ` of the first ${ips.length}` : ''}.`;
  return `${many} ${first(explanation, need)}`;
}

const fitting = ({ ipCount }: Explanation) =>
  ipCount === 0 ? 'there is none, or none of those that were named' : 'none is shown';

function from(granted: readonly { ip: string }[]): string {
  const [first, ...others] = granted;
  return `from ${first!.ip}${others.length === 0 ? '' : ` and ${counted(others.length, 'other IP')}`}`;
}

function ceilingOf(pool: ExplainedPool, need: number, nowMs: number): string {
  const ceiling = pool.ceiling!;
  return `Pool ${pool.name} ${usedUp(ceiling)}; ${later(ceiling, need, nowMs, 'UTC')}.`;
}

const WHAT_HOLDS: Record<string, [one: string, many: string]> = {
  status: ['has a status that gives no mail', 'have a status that gives no mail'],
  hold: ['is held', 'are held'],
  day: ['used its day', 'used their day'],
  hour: ['used its hour', 'used their hour'],
  burst: ['has an empty bucket', 'have an empty bucket'],
  ceiling: ['reached its ceiling', 'reached their ceiling'],
};

/** `2 used their hour, 1 is held` */
function tally(ips: readonly ExplainedIp[]): string {
  const counts = new Map<string, number>();
  for (const { room, binds } of ips) {
    const code = room >= 1 ? 'room' : (binds ?? 'room');
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([code, number]) => {
      const [one, many] = WHAT_HOLDS[code] ?? ['has some', 'have some'];
      return `${grouped(number)} ${number === 1 ? one : many}`;
    })
    .join(', ');
}

/** Who has room first, and when. */
function first(explanation: Explanation, need: number): string {
  const { verdict, ips, nowMs } = explanation;
  if (verdict.retryAfterMs === null) {
    const never = ips.some(({ binds }) => binds !== 'status' && binds !== 'hold');
    return never
      ? `${counted(need, 'send')} at once never fit their limits; ask for fewer.`
      : 'Waiting alone does not change that.';
  }
  const atMs = nowMs + verdict.retryAfterMs;
  const one = ips.find(({ roomAtMs }) => roomAtMs !== null && roomAtMs <= atMs);
  if (!one) return `Together they have room at ${timeAndWait(atMs, nowMs, zoneOf(ips[0]!))}.`;
  return `First is ${one.ip}, which ${said(explanation, one)}.`;
}
