/** What is written down comes back as it was: packed records, addresses as they sort, cursors, receipts, the history. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cursorAfter, readCursor } from '../../src/http/cursor.ts';
import { createReceipts } from '../../src/http/receipts.ts';
import {
  type HotTexts,
  packNew,
  packPublished,
  tellingEdges,
  unpackHot,
  unpackSent,
} from '../../src/redis/hot-record.ts';
import { nodeUrls } from '../../src/redis/node-urls.ts';
import { parseReceipt } from '../../src/redis/receipt.ts';
import { takeIpPool } from '../../src/sender/smtp-api-header.ts';
import {
  addressOfSortable,
  canonicalAddress,
  expandAddresses,
  sortableAddress,
} from '../../src/warmup/address.ts';
import { NEW_COUNTER } from '../../src/warmup/counter.ts';
import { type DedicatedIp, RECORD_VERSION } from '../../src/warmup/dedicated-ip.ts';
import { keepChange, keptChange, withChanges } from '../../src/warmup/history.ts';
import { STATUSES } from '../../src/warmup/lifecycle.ts';
import type { SendQuota, WindowLimits } from '../../src/warmup/quota.ts';
import { readStoredIp, storedIp } from '../../src/warmup/stored-ip.ts';
import { DAY_MS } from '../../src/warmup/units.ts';
import { drawn } from '../support/drawn.ts';

const instant = fc.integer({ min: 0, max: Date.UTC(2200, 0, 1) });
const limit = fc.option(fc.integer({ min: 1, max: 1_000_000_000 }), { nil: null });
const id = fc.stringMatching(/^[0-9a-z]{1,25}$/).map((letters) => `ip_${letters}`);
/** Without line breaks, which part the texts of a hot record. */
const word = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .map((text) => text.replace(/[\n,]/g, '-'));
const orNull = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null });

describe('addresses', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6()).filter((text) => {
    try {
      return canonicalAddress(text) !== '';
    } catch {
      return false; // one that sends no mail
    }
  });

  test('the form is one: of a canonical address it is the address itself', () => {
    fc.assert(
      fc.property(address, (text) => {
        const canonical = canonicalAddress(text);
        expect(canonicalAddress(canonical)).toBe(canonical);
        expect(canonicalAddress(` ${text.toUpperCase()} `)).toBe(canonical);
      }),
      drawn(500),
    );
  });

  test('what sorts comes back, and sorts by value', () => {
    fc.assert(
      fc.property(address, address, (one, other) => {
        const [a, b] = [canonicalAddress(one), canonicalAddress(other)];
        expect(addressOfSortable(sortableAddress(a))).toBe(a);
        expect(sortableAddress(a) === sortableAddress(b)).toBe(a === b);
        if (!a.includes(':') && b.includes(':')) expect(sortableAddress(a) < sortableAddress(b)).toBe(true);
      }),
      drawn(500),
    );
  });

  test('a range holds each of its addresses once, in order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 24, max: 32 }), (byte, bits) => {
        const size = 2 ** (32 - bits);
        const all = expandAddresses([`203.0.113.${byte - (byte % size)}/${bits}`]);
        expect(all).toHaveLength(size);
        expect(all.map(sortableAddress)).toEqual(all.map(sortableAddress).sort());
      }),
      drawn(100),
    );
  });
});

describe('the hot record', () => {
  const limits: fc.Arbitrary<WindowLimits> = fc.record({
    ...{ dailyLimit: limit, hourlyCap: limit, burst: limit },
    ...{ dailyByCeiling: fc.boolean(), hourlyByCeiling: fc.boolean() },
  });
  const quota: fc.Arbitrary<SendQuota> = fc
    .record({
      gate: fc.constantFrom('closed', 'warming', 'active'),
      heldUntilMs: fc.oneof(instant, fc.constant(Number.POSITIVE_INFINITY)),
      fromMs: instant,
      lengths: fc.array(fc.constantFrom(23, 23.5, 24, 24, 24, 25), { minLength: 1, maxLength: 8 }),
      current: limits,
      next: limits,
    })
    .map(({ lengths, ...rest }) => {
      const edges: number[] = [];
      let atMs = rest.fromMs;
      for (const hours of lengths) {
        atMs += hours * 3_600_000;
        edges.push(atMs);
      }
      return { ...rest, toMs: edges[0]!, edgesMs: edges.slice(1) } as SendQuota;
    });
  const texts: fc.Arbitrary<HotTexts> = fc.record({
    ...{ id, address: fc.ipV4(), hostname: orNull(word), bind: orNull(fc.ipV4()) },
    pools: fc.array(
      id.map((one) => one.replace('ip_', 'pool_')),
      { maxLength: 4 },
    ),
  });

  test('is unpacked as it was packed', () => {
    fc.assert(
      fc.property(quota, texts, (given, names) => {
        const { state, quota: read, texts: told } = unpackHot(packNew(packPublished(given, names), null));
        expect(state).toEqual(NEW_COUNTER);
        expect(told).toEqual(names);
        expect(read).toEqual({ ...given, edgesMs: tellingEdges(given) });
      }),
      drawn(300),
    );
  });

  test('edges that are left out are those that go without saying', () => {
    fc.assert(
      fc.property(quota, (given) => {
        const edges = [...tellingEdges(given)];
        while (edges.length < given.edgesMs.length) edges.push((edges.at(-1) ?? given.toMs) + DAY_MS);
        expect(edges).toEqual(given.edgesMs);
      }),
      drawn(300),
    );
  });

  test('what was sent: any bytes are read, whole entries come back', () => {
    const entry = fc.record({ fromMs: instant, sends: fc.nat() });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), fc.uint8Array({ maxLength: 11 }), (entries, rest) => {
        const packed = Buffer.alloc(entries.length * 12);
        for (const [index, { fromMs, sends }] of entries.entries()) {
          packed.writeDoubleLE(fromMs, index * 12);
          packed.writeUInt32LE(sends, index * 12 + 8);
        }
        expect(unpackSent(Buffer.concat([packed, rest]))).toEqual(entries);
      }),
      drawn(100),
    );
  });
});

describe('the record of an IP', () => {
  // A list of one number is how a number is kept; no change has such a list.
  const told = fc.jsonValue({ maxDepth: 1 }).filter((one) => !(Array.isArray(one) && one.length === 1));
  const change = fc.record({
    what: fc.oneof(fc.constantFrom('status', 'hold', 'pool'), fc.string()),
    from: told,
    to: told,
    because: fc.oneof(fc.constantFrom('resumed', 'labels'), fc.string()),
    by: fc.oneof(fc.constant('engine'), fc.string()),
  });
  const hold = fc.record({
    ...{ scope: fc.string(), sending: fc.boolean(), advance: fc.boolean(), because: fc.string() },
    ...{ by: fc.string(), sinceMs: instant, untilMs: orNull(instant) },
  });
  const warmup = fc.record({
    ...{ plan: fc.constantFrom('fourteen-day', 'fourteen-day+sendgrid-hourly'), digest: fc.string() },
    ...{ totalDays: fc.integer({ min: 1, max: 400 }), zone: fc.constantFrom('UTC', 'Europe/Berlin') },
    ...{ dayStartsAt: fc.constantFrom('start', '04:00'), burst: limit, startedAtMs: instant },
    completedAtMs: orNull(instant),
    adjustments: fc.array(
      fc.record({ atMs: instant, days: fc.integer(), because: fc.string(), by: fc.string() }),
      { maxLength: 3 },
    ),
    pausedAtMs: orNull(instant),
  });
  const ip: fc.Arbitrary<DedicatedIp> = fc.record({
    ...{ version: fc.constant(RECORD_VERSION), rev: fc.nat(), id, address: fc.ipV4() },
    ...{
      status: fc.constantFrom(...STATUSES),
      statusSinceMs: instant,
      createdAtMs: instant,
      updatedAtMs: instant,
    },
    ...{ region: orNull(fc.string()), hostname: orNull(fc.string()), bind: orNull(fc.string()) },
    ...{ leased: fc.boolean(), labels: fc.dictionary(fc.stringMatching(/^[a-z]{1,9}$/), fc.string()) },
    ...{ whitelabeled: fc.boolean(), autoWarmup: fc.boolean(), parentAssigned: fc.boolean() },
    ...{ subusers: fc.array(fc.string()), ceiling: fc.record({ perDay: limit, perHour: limit }) },
    ...{ holds: fc.array(hold, { maxLength: 3 }), pools: fc.array(fc.string()), warmup: orNull(warmup) },
    cooldown: orNull(fc.record({ from: fc.constantFrom(...STATUSES), sinceMs: instant, untilMs: instant })),
    history: fc
      .array(change, { maxLength: 3 })
      .map((changes) => changes.map((one): unknown[] => keepChange(0, 5, one))),
  });

  test('is read as it was stored', () => {
    fc.assert(
      fc.property(ip, (given) => {
        expect(readStoredIp(given.id, storedIp(given))).toEqual(JSON.parse(JSON.stringify(given)));
      }),
      drawn(300),
    );
  });

  test('of a later version is not read at all', () => {
    fc.assert(
      fc.property(ip, fc.integer({ min: 1, max: 9 }), (given, newer) => {
        const text = storedIp({ ...given, version: RECORD_VERSION + newer });
        expect(() => readStoredIp(given.id, text)).toThrow(/upgrade it/);
      }),
      drawn(50),
    );
  });

  test('its changes come back as they were, and the last twenty are kept', () => {
    fc.assert(
      fc.property(
        instant,
        fc.nat(),
        fc.array(change, { minLength: 1, maxLength: 30 }),
        (createdAtMs, after, changes) => {
          const atMs = createdAtMs + after;
          const history = withChanges({ createdAtMs, history: [] }, atMs, changes);
          const stored = JSON.parse(JSON.stringify(history)) as unknown[][];
          const expected = changes
            .map((one) => JSON.parse(JSON.stringify({ ...one, atMs })) as unknown)
            .reverse();
          expect(stored.map((one) => keptChange(createdAtMs, one))).toEqual(expected.slice(0, 20));
        },
      ),
      drawn(200),
    );
  });
});

describe('what goes out and comes back', () => {
  test('a cursor', () => {
    fc.assert(
      fc.property(instant, id, (atMs, name) => {
        expect(readCursor(cursorAfter(atMs, name))).toEqual({ atMs, id: name });
      }),
      drawn(300),
    );
  });

  const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  const receipt = fc.record({
    ipId: id,
    dayFromMs: number,
    hourFromMs: number,
    count: fc.nat(1_000_000),
    seq: number,
  });
  const written = ({ ipId, dayFromMs, hourFromMs, count, seq }: ReturnType<typeof parseReceipt>) =>
    `${ipId}.${dayFromMs}.${hourFromMs}.${count}.${seq}`;

  test('a receipt, read', () => {
    fc.assert(
      fc.property(receipt, (given) => {
        expect(parseReceipt(written(given))).toEqual(given);
      }),
      drawn(300),
    );
  });

  test('a receipt, signed: only as it was, and only for whom it was', () => {
    const receipts = createReceipts('a secret that nobody knows');
    fc.assert(
      fc.property(receipt, fc.nat(), fc.integer({ min: 1, max: 127 }), (given, at, flip) => {
        const signed = receipts('acct_a').sign(written(given));
        expect(receipts('acct_a').verify(signed)).toBe(written(given));
        expect(receipts('acct_b').verify(signed)).toBeNull();
        expect(createReceipts('another')('acct_a').verify(signed)).toBeNull();
        const bytes = Buffer.from(signed);
        bytes[at % bytes.length]! ^= flip;
        expect(receipts('acct_a').verify(bytes.toString())).toBeNull();
        expect(receipts('acct_a').verify(signed.slice(0, at % signed.length))).toBeNull();
      }),
      drawn(300),
    );
  });

  test('nodes of a cluster: each complete, and complete ones stay as they are', () => {
    const host = fc
      .tuple(fc.domain(), fc.integer({ min: 1, max: 65_535 }))
      .map(([name, port]) => `${name}:${port}`);
    const secret = fc.option(fc.stringMatching(/^[a-z0-9%]{1,12}$/), { nil: null });
    fc.assert(
      fc.property(fc.array(host, { minLength: 1, maxLength: 5 }), secret, (hosts, password) => {
        const head = `rediss://${password === null ? '' : `:${password}@`}`;
        const urls = nodeUrls(`${head}${hosts.join(' , ')}`);
        expect(urls).toEqual(hosts.map((one) => head + one));
        expect(nodeUrls(urls.join(','))).toEqual(urls);
      }),
      drawn(200),
    );
  });

  test('X-SMTPAPI without its pool says the rest as it was', () => {
    const others = fc.dictionary(
      fc.string().filter((name) => !['ip_pool', '__proto__'].includes(name)),
      fc.jsonValue(),
      { maxKeys: 5 },
    );
    fc.assert(
      fc.property(
        others,
        fc.string({ minLength: 1 }),
        fc.nat(4),
        fc.constantFrom(0, 2),
        (rest, pool, place, indent) => {
          const entries = Object.entries(rest);
          entries.splice(Math.min(place, entries.length), 0, ['ip_pool', pool]);
          let kept: unknown = JSON.stringify(Object.fromEntries(entries), null, indent);
          const mail = {
            data: { headers: { 'x-smtpapi': kept } },
            message: {
              getHeader: () => kept,
              setHeader: (_: string, to: unknown) => {
                kept = to;
              },
            },
          };
          expect(takeIpPool(mail as unknown as Parameters<typeof takeIpPool>[0])).toBe(pool);
          if (Object.keys(rest).length === 0) expect(kept).toBe('');
          else expect(JSON.parse(kept as string)).toEqual(JSON.parse(JSON.stringify(rest)));
        },
      ),
      drawn(300),
    );
  });
});
