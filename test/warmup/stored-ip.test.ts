import { describe, expect, test } from 'vitest';
import { create, hold, type StartOptions, setCeiling, startWarmup } from '../../src/warmup/decide.ts';
import { type DedicatedIp, RECORD_VERSION } from '../../src/warmup/dedicated-ip.ts';
import { withChanges } from '../../src/warmup/history.ts';
import { planDigest } from '../../src/warmup/plan.ts';
import { readStoredIp, storedIp } from '../../src/warmup/stored-ip.ts';

const NOW = Date.UTC(2026, 2, 2, 9);
const usual = {
  name: 'fourteen-day+sendgrid-hourly',
  days: Array.from({ length: 14 }, () => ({ dailyLimit: 50, hourlyCap: 20 })),
};
const options: StartOptions = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay: 1 };
const given = { id: 'ip_1', address: '203.0.113.7', region: null, hostname: null, bind: null, leased: true };

const fresh = (): DedicatedIp => create({ ...given, status: 'provisioning' }, NOW, 'test').ip;
const warming = (plan = usual, how = options): DedicatedIp =>
  startWarmup(fresh(), plan, how, NOW + 1, 'test').ip;
const back = (ip: DedicatedIp) => readStoredIp(ip.id, storedIp(ip));

test('what goes without saying is not said', () => {
  expect(JSON.parse(storedIp(fresh()))).toEqual({
    ...{ rev: 0, version: RECORD_VERSION, address: '203.0.113.7', status: 'provisioning', createdAtMs: NOW },
  });
  expect(JSON.parse(storedIp(warming()))).toMatchObject({
    warmup: { digest: planDigest(usual), startedAtMs: NOW + 1 },
  });
  expect(Object.keys(JSON.parse(storedIp(warming())).warmup)).toEqual(['digest', 'startedAtMs']);
});

describe('every record comes back as it was', () => {
  const history = withChanges({ createdAtMs: NOW, history: [] }, NOW + 700, [
    { what: 'labels', from: {}, to: { team: 'a' }, because: 'set by the operator', by: 'test' },
  ]);
  const held = hold(
    warming(),
    { scope: 'ip', sending: true, advance: true, because: 'b', by: 'c', untilMs: null },
    NOW + 9,
  );
  const records: [string, DedicatedIp][] = [
    ['new', fresh()],
    ['active from the start', create({ ...given, status: 'active' }, NOW, 'test').ip],
    ['warming up', warming()],
    ['under another plan', warming({ name: 'own', days: usual.days.slice(0, 3) })],
    [
      'in another zone',
      warming(usual, { ...options, zone: 'Europe/Berlin', dayStartsAt: '04:00', burst: 5 }),
    ],
    ['half warm', warming(usual, { ...options, startDay: 5 })],
    ['held, and paused', held.ip],
    ['with a ceiling', setCeiling(fresh(), { perDay: 5, perHour: null }, 'test').ip],
    [
      'with everything',
      { ...fresh(), region: 'eu', hostname: 'a.example.com', bind: '10.0.0.1', leased: false },
    ],
    [
      'more of it',
      { ...fresh(), labels: { a: 'b' }, whitelabeled: false, autoWarmup: true, parentAssigned: false },
    ],
    ['in pools', { ...fresh(), subusers: ['acct_1'], pools: ['pool_1'] }],
    [
      'in cooldown',
      { ...warming(), cooldown: { from: 'warming', sinceMs: 1, untilMs: 2 }, status: 'cooldown' },
    ],
    [
      'completed',
      { ...warming(), status: 'active', warmup: { ...warming().warmup!, completedAtMs: NOW + 5 } },
    ],
    ['with a history', { ...fresh(), history, updatedAtMs: NOW + 700 }],
    ['changed at another time than its last change', { ...fresh(), history, updatedAtMs: NOW + 701 }],
    ['changed without a history', { ...fresh(), updatedAtMs: NOW + 1 }],
    ['warming since another time than its start', { ...warming(), statusSinceMs: NOW + 77 }],
    ['of a high revision', { ...fresh(), rev: 4711 }],
  ];
  test.each(records)('%s', (_, ip) => {
    expect(back(ip)).toEqual(ip);
    expect(storedIp(ip).startsWith(`{"rev":${ip.rev},`)).toBe(true);
  });

  test('a status that came with the creation or the start needs no instant of its own', () => {
    expect(storedIp(warming())).not.toContain('statusSinceMs');
    expect(storedIp({ ...warming(), statusSinceMs: NOW + 77 })).toContain('statusSinceMs');
    expect(storedIp({ ...fresh(), history, updatedAtMs: NOW + 700 })).not.toContain('updatedAtMs');
  });
});

test('the first layout said everything, and is read as it stands', () => {
  const { history: _, ...first } = { ...fresh(), version: 1 };
  const { rev, ...rest } = first;
  expect(readStoredIp('ip_1', JSON.stringify({ rev, ...rest }))).toEqual({ ...fresh(), version: 1 });
});

test('the record of a later version is not touched', () => {
  const later = JSON.stringify({ rev: 1, ...JSON.parse(storedIp(fresh())), version: RECORD_VERSION + 1 });
  expect(() => readStoredIp('ip_1', later)).toThrow(/version 3, this process writes 2/);
});

test('a record whose revision the scripts would not find is refused', () => {
  const { rev, ...rest } = JSON.parse(storedIp(fresh()));
  expect(() => readStoredIp('ip_1', JSON.stringify({ ...rest, rev }))).toThrow(/does not begin with/);
  expect(() => readStoredIp('ip_1', ` ${storedIp(fresh())}`)).toThrow(/does not begin with/);
});

test.each([
  ['id', { id: 'IP 1' }],
  ['rev', { rev: -1 }],
  ['status', { status: 'resting' }],
  ['limit', { ceiling: { perDay: 0, perHour: null } }],
])('a record with a wrong %s is not believed', (_, wrong) => {
  const { rev, ...rest } = { ...fresh(), version: 1, ...wrong };
  expect(() => readStoredIp('ip_1', JSON.stringify({ rev, ...rest }))).toThrow();
});
