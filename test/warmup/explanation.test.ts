import { describe, expect, test } from 'vitest';
import { create, hold, startWarmup } from '../../src/warmup/decide.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import {
  type Explained,
  type ExplainedIp,
  type ExplainedPool,
  type Explanation,
  poolDenies,
  sentenceOf,
  sentenceOfIp,
  zoneOf,
} from '../../src/warmup/explanation.ts';
import { HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';

// What people read when mail is held. The numbers come from the script that decides (test/redis/explain.test.ts).

const NOW = Date.UTC(2026, 2, 2, 9, 30);
const HOUR_ENDS = Date.UTC(2026, 2, 2, 10);
const DAY_ENDS = Date.UTC(2026, 2, 3, 9);
const plan = { name: 'fourteen-day', days: [{ dailyLimit: 50, hourlyCap: 20 }] };

function recordOf(zone = 'UTC', status: 'warming' | 'provisioning' = 'warming'): DedicatedIp {
  const given = {
    id: 'ip_1',
    address: '203.0.113.1',
    region: null,
    hostname: null,
    bind: null,
    leased: true,
  };
  const { ip } = create({ ...given, status: 'provisioning' }, NOW - HOUR_MS, 'test');
  const options = { zone, burst: null, dayStartsAt: 'start', startDay: 1 };
  return status === 'provisioning' ? ip : startWarmup(ip, plan, options, NOW - HOUR_MS, 'test').ip;
}

const heldBy = (scope: string, untilMs: number | null = null, because = 'a blocklist names it') =>
  hold(recordOf(), { scope, sending: true, advance: false, because, by: 'key:ops', untilMs }, NOW - 1).ip;

/** Its hour of 20 is used up, and turns at 10:00. */
const hourUsed: Explained = {
  room: 0,
  binds: 'hour',
  limit: 20,
  remaining: 0,
  resetsAtMs: HOUR_ENDS,
  roomAtMs: HOUR_ENDS,
  roomThen: 20,
  day: { limit: 50, used: 20, fromMs: DAY_ENDS - 24 * HOUR_MS, toMs: DAY_ENDS },
  hour: { limit: 20, used: 20, fromMs: HOUR_ENDS - HOUR_MS, toMs: HOUR_ENDS },
  bucket: { size: 20, level: 0, fullAtMs: HOUR_ENDS },
};
const dayUsed: Explained = {
  ...hourUsed,
  binds: 'day',
  limit: 50,
  resetsAtMs: DAY_ENDS,
  roomAtMs: DAY_ENDS,
  roomThen: 28,
};
const roomy = (room: number): Explained => ({ ...hourUsed, room, remaining: room, roomAtMs: NOW });
const endless: Explained = { ...roomy(Number.POSITIVE_INFINITY), binds: null, limit: -1 };

const ipOf = (of: Explained, more: Partial<ExplainedIp> = {}): ExplainedIp => ({
  ...of,
  ...{ ip: '203.0.113.1', ipId: 'ip_1', granted: 0, record: recordOf() },
  ...more,
});
const other = (of: Explained, more: Partial<ExplainedIp> = {}) =>
  ipOf(of, { ip: '203.0.113.2', ipId: 'ip_2', ...more });

const denied = (ips: ExplainedIp[], more: Partial<Explanation> = {}): Explanation => ({
  nowMs: NOW,
  count: 1,
  partial: false,
  verdict: { granted: [], retryAfterMs: HOUR_ENDS - NOW, because: { code: 'hour' } },
  isOneIp: ips.length === 1,
  pool: null,
  ipCount: ips.length,
  ips,
  ...more,
});
const granting = (granted: [ip: string, count: number][], count: number, more: Partial<Explanation> = {}) =>
  denied([], {
    count,
    verdict: {
      granted: granted.map(([ip, sends]) => ({ ip, count: sends })),
      retryAfterMs: 0,
      because: null,
    },
    ...more,
  });
const poolOf = (ceiling: Explained | null): ExplainedPool => ({
  ...{ id: 'pool_1', name: 'marketing', warmingShare: 1, used: 0, warmingUsed: 0, warmingMay: null, ceiling },
});
const ceilingUsed: Explained = {
  ...hourUsed,
  binds: 'ceiling',
  limit: 100,
  hour: { ...hourUsed.hour, limit: 100, used: 100 },
  roomThen: 100,
};

describe('one IP', () => {
  const said = (ip: ExplainedIp, more: Partial<Explanation> = {}) => sentenceOfIp(denied([ip], more), ip);

  test.each<[string, ExplainedIp, Partial<Explanation>, string]>([
    ['used its hour', ipOf(hourUsed), {}, 'used its 20 sends of this hour; 20 more from 10:00 (in 30 min).'],
    [
      'used its day',
      ipOf(dayUsed),
      {},
      'used its 50 sends of this day; 28 more from Tue 3 Mar 09:00 (in 23 h 30 min).',
    ],
    [
      'a limit of one',
      ipOf({ ...hourUsed, limit: 1, roomThen: 1, hour: { ...hourUsed.hour, limit: 1 } }),
      {},
      'used its 1 send of this hour; 1 more from 10:00 (in 30 min).',
    ],
    [
      'some left, and more wanted',
      ipOf({ ...hourUsed, room: 3, remaining: 3 }),
      { count: 5 },
      'used 17 of its 20 sends of this hour; 20 more from 10:00 (in 30 min).',
    ],
    [
      'its ceiling',
      ipOf({ ...hourUsed, binds: 'ceiling' }),
      {},
      'used the 20 sends of its ceiling of this hour; 20 more from 10:00 (in 30 min).',
    ],
    [
      'the hour of a day that ends with it',
      ipOf({ ...dayUsed, resetsAtMs: HOUR_ENDS, roomAtMs: HOUR_ENDS }),
      {},
      'used its 50 sends of this day; 28 more from 10:00 (in 30 min).',
    ],
    [
      'without a limit from then on',
      ipOf({ ...dayUsed, roomThen: Number.POSITIVE_INFINITY }),
      {},
      'used its 50 sends of this day; without a limit from Tue 3 Mar 09:00 (in 23 h 30 min).',
    ],
    [
      'an empty bucket',
      ipOf({ ...hourUsed, binds: 'burst', limit: 5, roomAtMs: NOW + 3 * MINUTE_MS, roomThen: 1 }),
      {},
      'has an empty bucket; 1 more from 09:33 (in 3 min).',
    ],
    [
      'a bucket with less than is wanted',
      ipOf({ ...hourUsed, binds: 'burst', room: 2, remaining: 2, limit: 5, roomThen: 4 }),
      { count: 4 },
      'has 2 sends in its bucket of 5; 4 more from 10:00 (in 30 min).',
    ],
    [
      'more at once than ever fits',
      ipOf({ ...hourUsed, roomAtMs: null }),
      { count: 21 },
      'used its 20 sends of this hour; 21 sends at once never fit its limits.',
    ],
    ['a status', ipOf({ ...hourUsed, binds: 'status' }), {}, 'is warming, and that status gives no mail.'],
    [
      'not started yet',
      ipOf({ ...hourUsed, binds: 'status' }, { record: recordOf('UTC', 'provisioning') }),
      {},
      'is provisioning, and that status gives no mail; start its warm-up.',
    ],
    [
      'gone a moment later',
      ipOf({ ...hourUsed, binds: 'status' }, { record: null }),
      {},
      'is not sending, and that status gives no mail.',
    ],
    [
      'nothing published',
      ipOf({ ...hourUsed, binds: 'status' }),
      { verdict: { granted: [], retryAfterMs: null, because: { code: 'unpublished' } } },
      'gives no mail, because the worker has published nothing for it yet.',
    ],
    [
      'held',
      ipOf({ ...hourUsed, binds: 'hold' }, { record: heldBy('ip') }),
      {},
      'is held by key:ops, until somebody resumes it: a blocklist names it.',
    ],
    [
      'held for a while, without a reason',
      ipOf({ ...hourUsed, binds: 'hold' }, { record: heldBy('v3', HOUR_ENDS, '') }),
      {},
      'is held by key:ops, until 10:00 (in 30 min): no reason was given.',
    ],
    [
      'held with its pool',
      ipOf({ ...hourUsed, binds: 'hold' }, { record: heldBy('pool_1') }),
      {},
      'is held with its pool by key:ops, until somebody resumes it: a blocklist names it.',
    ],
    [
      'held with the account',
      ipOf({ ...hourUsed, binds: 'hold' }, { record: heldBy('account') }),
      {},
      'is held with the whole account by key:ops, until somebody resumes it: a blocklist names it.',
    ],
    ['held, and resumed meanwhile', ipOf({ ...hourUsed, binds: 'hold' }), {}, 'is held.'],
    ['held, and gone meanwhile', ipOf({ ...hourUsed, binds: 'hold' }, { record: null }), {}, 'is held.'],
    ['room', ipOf(roomy(7)), {}, 'has room for 7 sends.'],
    ['room for all', ipOf(endless), {}, 'has room for any number of sends.'],
    ['exactly the room', ipOf(roomy(7)), { count: 7 }, 'has room for 7 sends.'],
    [
      'less room than wanted, where fewer are welcome',
      ipOf(roomy(7)),
      { count: 8, partial: true },
      'has room for 7 sends.',
    ],
    [
      'room that its pool has not',
      ipOf(roomy(7)),
      { pool: poolOf(ceilingUsed) },
      'has room for 7 sends, but its pool has not.',
    ],
  ])('%s', (_, ip, more, sentence) => {
    expect(said(ip, more)).toBe(`203.0.113.1 ${sentence}`);
  });

  test('one that gives says how much is left; one beside it that it was not needed', () => {
    const gives = ipOf(roomy(7), { granted: 2 });
    const explanation = { ...granting([['203.0.113.1', 2]], 2), ips: [gives, other(roomy(9))] };
    expect(sentenceOfIp(explanation, gives)).toBe('203.0.113.1 gives 2 sends and has room for 5 more.');
    expect(sentenceOfIp(explanation, ipOf(endless, { granted: 1 }))).toBe('203.0.113.1 gives 1 send.');
    expect(sentenceOfIp(explanation, other(roomy(9)))).toBe(
      '203.0.113.2 has room for 9 sends and was not needed.',
    );
  });

  test('times are those of its zone; of one that is gone, UTC', () => {
    const berlin = ipOf(hourUsed, { record: recordOf('Europe/Berlin') });
    expect(said(berlin)).toContain('from 11:00 (in 30 min)');
    expect([zoneOf(berlin), zoneOf(ipOf(hourUsed, { record: null }))]).toEqual(['Europe/Berlin', 'UTC']);
    expect(zoneOf(ipOf(hourUsed, { record: recordOf('UTC', 'provisioning') }))).toBe('UTC');
  });
});

test('a pool denies what an IP would give, only if nothing was granted and its ceiling is short', () => {
  const short = poolOf({ ...ceilingUsed, room: 3 });
  const asked = (more: Partial<Explanation>) =>
    poolDenies(denied([], { pool: short, count: 4, ...more }), roomy(9));
  expect(asked({})).toBe(true);
  expect(asked({ count: 3 })).toBe(false);
  expect(asked({ partial: true })).toBe(false);
  expect(asked({ partial: true, pool: poolOf(ceilingUsed) })).toBe(true);
  expect(asked({ pool: poolOf(null) })).toBe(false);
  expect(asked({ pool: null })).toBe(false);
  expect(poolDenies(denied([], { pool: short, count: 4 }), roomy(0))).toBe(false);
  expect(poolDenies({ ...granting([['203.0.113.1', 1]], 4), pool: short }, roomy(9))).toBe(false);
});

describe('the whole take', () => {
  test.each<[string, Explanation, string]>([
    ['all from one', granting([['203.0.113.1', 1]], 1), '1 send may go now, from 203.0.113.1.'],
    [
      'all from three',
      granting(
        [
          ['203.0.113.1', 500],
          ['203.0.113.2', 400],
          ['203.0.113.3', 100],
        ],
        1_000,
      ),
      '1,000 sends may go now, from 203.0.113.1 and 2 other IPs.',
    ],
    [
      'some',
      granting(
        [
          ['203.0.113.1', 3],
          ['203.0.113.2', 2],
        ],
        9,
        { partial: true },
      ),
      '5 of 9 sends may go now, from 203.0.113.1 and 1 other IP; the rest has no room.',
    ],
    [
      'some, as far as the ceiling goes',
      granting([['203.0.113.1', 5]], 9, {
        partial: true,
        pool: poolOf({ ...ceilingUsed, room: 5, remaining: 5 }),
      }),
      '5 of 9 sends may go now, from 203.0.113.1; the rest has no room. Pool marketing used 95 of the 100 sends of its ceiling of this hour; 100 more from 10:00 (in 30 min).',
    ],
    [
      'none, by the ceiling',
      denied([ipOf(roomy(5)), other(roomy(5))], { pool: poolOf(ceilingUsed) }),
      'Pool marketing used the 100 sends of its ceiling of this hour; 100 more from 10:00 (in 30 min).',
    ],
    [
      'an IP that is not published',
      denied([], { isOneIp: true }),
      'Nothing is published for this IP, so it may send nothing.',
    ],
    ['no IP', denied([]), 'No IP of the account fits: there is none, or none of those that were named.'],
    [
      'no IP of a pool that has some',
      denied([], { pool: poolOf(null), ipCount: 2 }),
      'No IP of pool marketing fits: none is shown.',
    ],
    [
      'the one IP there is',
      denied([ipOf(hourUsed)], { isOneIp: false }),
      '203.0.113.1 used its 20 sends of this hour; 20 more from 10:00 (in 30 min).',
    ],
    [
      'several, and who is first',
      denied([ipOf(dayUsed), other(hourUsed)], { pool: poolOf(null) }),
      'None of the 2 IPs of pool marketing has room: 1 used its day, 1 used its hour. First is 203.0.113.2, which used its 20 sends of this hour; 20 more from 10:00 (in 30 min).',
    ],
    [
      'several at once',
      denied([ipOf({ ...hourUsed, room: 3 }), other({ ...hourUsed, room: 1 })], { count: 9, ipCount: 200 }),
      'None of the 200 IPs of the account has room for 9 sends: 2 have some of the first 2. First is 203.0.113.1, which used its 20 sends of this hour; 20 more from 10:00 (in 30 min).',
    ],
    [
      'those that are most come first',
      denied(
        [
          ipOf({ ...hourUsed, binds: 'status' }),
          ...[1, 2, 3].map(() => other({ ...hourUsed, binds: 'hold' })),
          ...[1, 2].map(() => other({ ...hourUsed, binds: 'burst' })),
          ...[1, 2, 3, 4].map(() => other({ ...hourUsed, binds: 'ceiling' })),
          other(roomy(1)),
        ],
        { count: 2, verdict: { granted: [], retryAfterMs: 1, because: { code: 'hour' } } },
      ),
      'None of the 11 IPs of the account has room for 2 sends: 4 reached their ceiling, 3 are held, 2 have an empty bucket, 1 has a status that gives no mail, 1 has some. First is 203.0.113.2, which used 19 of its 20 sends of this hour; 20 more from 09:30 (in 0 s).',
    ],
    [
      'only all of them together',
      denied([ipOf(dayUsed), other(dayUsed)], { count: 30 }),
      'None of the 2 IPs of the account has room for 30 sends: 2 used their day. Together they have room at 10:00 (in 30 min).',
    ],
    [
      'more than ever fits',
      denied([ipOf({ ...hourUsed, roomAtMs: null }), other({ ...hourUsed, binds: 'hold', roomAtMs: null })], {
        count: 30,
        verdict: { granted: [], retryAfterMs: null, because: { code: 'count' } },
      }),
      'None of the 2 IPs of the account has room for 30 sends: 1 used its hour, 1 is held. 30 sends at once never fit their limits; ask for fewer.',
    ],
    [
      'nothing that waiting changes',
      denied(
        [
          ipOf({ ...hourUsed, binds: 'status', roomAtMs: null }),
          other({ ...hourUsed, binds: 'hold', roomAtMs: null }),
        ],
        {
          verdict: { granted: [], retryAfterMs: null, because: { code: 'status' } },
        },
      ),
      'None of the 2 IPs of the account has room: 1 has a status that gives no mail, 1 is held. Waiting alone does not change that.',
    ],
  ])('%s', (_, explanation, sentence) => {
    expect(sentenceOf(explanation)).toBe(sentence);
  });
});
