import { expect, test } from 'vitest';
import { calendarOf, DedicatedIp, isOwnHold } from '../../src/warmup/dedicated-ip.ts';

const least = {
  ...{
    version: 1,
    rev: 0,
    id: 'ip_1a',
    address: '203.0.113.7',
    status: 'active',
    statusSinceMs: 1,
    createdAtMs: 1,
  },
  ...{
    updatedAtMs: 1,
    region: null,
    hostname: null,
    bind: null,
    leased: true,
    labels: {},
    holds: [],
    pools: [],
  },
  ...{ ceiling: { perDay: null, perHour: null }, warmup: null, cooldown: null },
};

test('a record of the first days lacks some fields, and means what was so then', () => {
  expect(DedicatedIp.parse(least)).toEqual({
    ...least,
    ...{ whitelabeled: true, autoWarmup: false, parentAssigned: true, subusers: [], history: [] },
  });
});

test.each(['ip_', 'ip_A', 'ip_1 ', ' ip_1', 'xip_1', 'ip_1\n', 'ip-1'])('"%s" is no id', (id) => {
  expect(DedicatedIp.safeParse({ ...least, id }).success).toBe(false);
});

test('a hold says everything: half of one is no hold', () => {
  const hold = {
    scope: 'ip',
    sending: true,
    advance: false,
    because: '',
    by: 'a',
    sinceMs: 1,
    untilMs: null,
  };
  expect(DedicatedIp.parse({ ...least, holds: [hold] }).holds).toEqual([hold]);
  for (const name of Object.keys(hold)) {
    const { [name as 'scope']: _, ...half } = hold;
    expect(DedicatedIp.safeParse({ ...least, holds: [half] }).success, name).toBe(false);
  }
});

test('limits are whole and above 0, counts and instants whole and not below it', () => {
  const fits = (more: object) => DedicatedIp.safeParse({ ...least, ...more }).success;
  for (const perDay of [0, -1, 1.5]) expect(fits({ ceiling: { perDay, perHour: null } })).toBe(false);
  for (const value of [-1, 0.5]) {
    for (const name of ['rev', 'createdAtMs', 'updatedAtMs', 'statusSinceMs'])
      expect(fits({ [name]: value })).toBe(false);
  }
  expect(fits({ ceiling: { perDay: 1, perHour: 1 }, rev: 0, createdAtMs: 0 })).toBe(true);
});

test('the holds of an IP itself are those of its own scope and of v3', () => {
  expect(['ip', 'v3', 'account', 'pool_1', ''].map((scope) => isOwnHold({ scope }))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

test('the days of an IP that never warmed up turn at midnight in UTC', () => {
  const ip = DedicatedIp.parse({ ...least, createdAtMs: Date.UTC(2026, 2, 2, 17, 45, 12, 345) });
  expect(calendarOf(ip)).toEqual({ startedAtMs: Date.UTC(2026, 2, 2), zone: 'UTC', dayStartsAt: 'start' });
});
