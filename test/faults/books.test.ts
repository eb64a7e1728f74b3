/** The books are what the fault runs believe, so they are shown faults that nobody has. */
import { expect, test } from 'vitest';
import { balance, changesLost, type Expected, type LimitedIp } from './books.ts';

const HOURLY: LimitedIp = { id: 'ip_1', address: '10.0.0.1', limit: 100, kind: 'hourly' };
const DAILY: LimitedIp = { id: 'ip_2', address: '10.0.0.2', limit: 50, kind: 'daily' };
const sums = (hourly: number, daily: number) =>
  new Map([
    [HOURLY.address, hourly],
    [DAILY.address, daily],
  ]);
const books = (
  granted: Map<string, number>,
  charged: Map<string, number>,
  uncounted = new Map<string, number>(),
  forgettable = new Map<string, number>(),
) => balance({ limited: [HOURLY, DAILY], granted, charged, uncounted, forgettable });

test('books that balance', () => {
  expect(books(sums(100, 50), sums(100, 50))).toEqual({
    granted: 150,
    over: { hourly: 0, daily: 0 },
    unexplained: 0,
    grantsLost: 0,
    unspent: 0,
  });
});

test('a send over the limit is seen, whatever Redis has counted, and of another IP nothing makes up for it', () => {
  expect(books(sums(101, 20), sums(100, 50))).toMatchObject({
    over: { hourly: 1, daily: 0 },
    grantsLost: 1,
    unspent: 30,
  });
});

test('a send that an IP with a limit was allowed without Redis is one too many', () => {
  expect(books(sums(0, 0), sums(0, 0), sums(0, 2)).over).toEqual({ hourly: 0, daily: 2 });
});

test('over a daily limit goes what was forgotten beyond a twenty-fourth of it, and no send more', () => {
  const over = (forgotten: number) =>
    books(sums(0, 60), sums(0, 50), sums(0, 0), sums(0, forgotten)).unexplained;
  expect([over(0), over(3), over(12), over(13), over(100)]).toEqual([10, 10, 1, 0, 0]);
});

const expected: Expected = { status: ['warming'], perDay: [3], held: [true, false], inPool: [true] };
const found = { status: 'warming', perDay: 3, held: false, inPool: true };

test('a change that was acknowledged is there, one that was not may be', () => {
  expect(changesLost('ip_1', expected, found)).toEqual([]);
  expect(changesLost('ip_1', expected, { ...found, held: true })).toEqual([]);
});

test('a change that is gone is named', () => {
  expect(changesLost('ip_1', expected, { ...found, perDay: 2, inPool: false })).toEqual([
    { field: 'perDay', sentence: 'ip_1: perDay is 2, acknowledged was 3' },
    { field: 'inPool', sentence: 'ip_1: inPool is false, acknowledged was true' },
  ]);
  expect(changesLost('ip_1', expected, null)).toEqual([{ field: 'id', sentence: 'ip_1 is gone' }]);
});
