/** The hot record between its packed form (layout in `lua/counter.lua`) and the types of the pure core. */
import { type CounterState, type Fence, heedFence, SEND_UNITS } from '../warmup/counter.ts';
import type { SendQuota, WindowLimits } from '../warmup/quota.ts';
import { DAY_MS, HOUR_MS } from '../warmup/units.ts';

/** What a sender has to know to use an IP; kept in the hot record, so that a take needs no second read. */
export type HotTexts = {
  id: string;
  address: string;
  hostname: string | null;
  bind: string | null;
  pools: string[];
};

const GATES = ['closed', 'warming', 'active'] as const;
const STATE_FROM = 8;
const PUBLISHED_FROM = 64;
const EDGES_FROM = 168;

/** The edges that say something: past the last one windows of 24 h go on, so one that lies there need not be told. */
export function tellingEdges({ toMs, edgesMs }: Pick<SendQuota, 'toMs' | 'edgesMs'>): readonly number[] {
  let count = edgesMs.length;
  while (count > 0 && edgesMs[count - 1]! - (edgesMs[count - 2] ?? toMs) === DAY_MS) count -= 1;
  return edgesMs.slice(0, count);
}

/** The part of the record that is published, from byte 64 on. */
export function packPublished(quota: SendQuota, texts: HotTexts): Buffer {
  const edgesMs = tellingEdges(quota);
  const numbers = [
    GATES.indexOf(quota.gate),
    quota.heldUntilMs,
    quota.fromMs,
    quota.toMs,
    ...packLimits(quota.current),
    ...packLimits(quota.next),
    edgesMs.length,
    ...edgesMs,
  ];
  const packed = Buffer.alloc(numbers.length * 8);
  for (const [index, value] of numbers.entries()) packed.writeDoubleLE(value, index * 8);
  const { id, address, hostname, bind, pools } = texts;
  return Buffer.concat([
    packed,
    Buffer.from([id, address, hostname ?? '', bind ?? '', pools.join(',')].join('\n')),
  ]);
}

/** The whole record of a pool's ceiling: nothing used, the bucket full. It is from after the fence, if there is one. */
export function packNew(published: Buffer, fence: Fence | null): Buffer {
  const head = Buffer.alloc(PUBLISHED_FROM);
  head.writeDoubleLE(1, 0);
  head.writeDoubleLE(Number.MAX_SAFE_INTEGER, STATE_FROM + 4 * 8);
  head.writeDoubleLE(fence?.firstSeq ?? 0, STATE_FROM + 6 * 8);
  return Buffer.concat([head, published]);
}

/** @param fence of the account, for whoever wants to know what may be sent and not only what stands in the record */
export function unpackHot(
  raw: Buffer,
  fence: Fence | null = null,
): { state: CounterState; quota: SendQuota; texts: HotTexts } {
  const record = unpackAsWritten(raw);
  return { ...record, state: heedFence(record.state, record.quota, fence) };
}

function unpackAsWritten(raw: Buffer): { state: CounterState; quota: SendQuota; texts: HotTexts } {
  const at = (offset: number) => raw.readDoubleLE(offset);
  const edges = at(EDGES_FROM - 8);
  const [id = '', address = '', hostname = '', bind = '', pools = ''] = raw
    .subarray(EDGES_FROM + edges * 8)
    .toString()
    .split('\n');
  return {
    state: {
      dayFromMs: at(8),
      dayUsed: at(16),
      hourFromMs: at(24),
      hourUsed: at(32),
      level: at(40),
      atMs: at(48),
      seq: at(56),
    },
    quota: {
      gate: GATES[at(64)] ?? 'closed',
      heldUntilMs: at(72),
      fromMs: at(80),
      toMs: at(88),
      current: unpackLimits(raw, 96),
      next: unpackLimits(raw, 128),
      edgesMs: Array.from({ length: edges }, (_, index) => at(EDGES_FROM + index * 8)),
    },
    texts: {
      id,
      address,
      hostname: hostname || null,
      bind: bind || null,
      pools: pools ? pools.split(',') : [],
    },
  };
}

/**
 * Of a record that a take has just charged, of which `stateFrom` is byte 8: the limit that binds and what is left of it, as
 * `charge_fast` in `lua/fast.lua` found it, and what a receipt needs.
 */
export function readCharged(buffer: Buffer, stateFrom: number) {
  const from = stateFrom - STATE_FROM;
  const daily = buffer.readDoubleLE(from + 96);
  const hourly = buffer.readDoubleLE(from + 104);
  const burst = buffer.readDoubleLE(from + 112);
  const hourFromMs = buffer.readDoubleLE(from + 24);
  const nowMs = buffer.readDoubleLE(from + 48);
  const toMs = buffer.readDoubleLE(from + 88);
  let left = Number.POSITIVE_INFINITY;
  let limit = -1;
  let resetsAtMs = toMs;
  if (daily >= 0) {
    left = daily - buffer.readDoubleLE(from + 16);
    limit = daily;
  }
  if (hourly >= 0) {
    const ofHour = hourly - buffer.readDoubleLE(from + 32);
    if (ofHour < left) {
      left = ofHour;
      limit = hourly;
      resetsAtMs = Math.min(hourFromMs + HOUR_MS, toMs);
    }
  }
  if (burst >= 0) {
    const level = buffer.readDoubleLE(from + 40);
    const tokens = Math.floor(level / SEND_UNITS);
    if (tokens < left) {
      left = tokens;
      limit = burst;
      resetsAtMs = nowMs + Math.ceil((burst * SEND_UNITS - level) / hourly);
    }
  }
  return {
    limit,
    remaining: left === Number.POSITIVE_INFINITY ? -1 : left,
    resetAfterMs: resetsAtMs - nowMs,
    dayFromMs: buffer.readDoubleLE(from + 8),
    hourFromMs,
    seq: buffer.readDoubleLE(from + 56),
    textAt: from + EDGES_FROM + buffer.readDoubleLE(from + EDGES_FROM - 8) * 8,
  };
}

const packLimits = ({ dailyLimit, hourlyCap, burst, dailyByCeiling, hourlyByCeiling }: WindowLimits) => [
  dailyLimit ?? -1,
  hourlyCap ?? -1,
  burst ?? -1,
  (dailyByCeiling ? 1 : 0) + (hourlyByCeiling ? 2 : 0),
];

function unpackLimits(raw: Buffer, offset: number): WindowLimits {
  const limit = (index: number) => {
    const value = raw.readDoubleLE(offset + index * 8);
    return value < 0 ? null : value;
  };
  const flags = raw.readDoubleLE(offset + 24);
  return {
    dailyLimit: limit(0),
    hourlyCap: limit(1),
    burst: limit(2),
    dailyByCeiling: flags % 2 === 1,
    hourlyByCeiling: flags >= 2,
  };
}

/** The fence of an account as it stands in Redis (`lua/fence.lua`). */
export const unpackFence = (raw: Buffer | null): Fence | null =>
  raw && { firstSeq: raw.readDoubleLE(0), atMs: raw.readDoubleLE(8) };

/** Entries of 12 bytes: the beginning of an hour or a day, and the sends in it. */
export function unpackSent(raw: Buffer | null): { fromMs: number; sends: number }[] {
  const entries: { fromMs: number; sends: number }[] = [];
  for (let at = 0; raw && at + 12 <= raw.length; at += 12) {
    entries.push({ fromMs: raw.readDoubleLE(at), sends: raw.readUInt32LE(at + 8) });
  }
  return entries;
}
