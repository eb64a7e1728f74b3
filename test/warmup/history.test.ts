import { expect, test } from 'vitest';
import { keepChange, keptChange, withChanges } from '../../src/warmup/history.ts';

const CREATED = 1_000_000;
const change = {
  what: 'status',
  from: 'provisioning',
  to: 'warming',
  because: 'somebody said so',
  by: 'key:mine',
};

test('a change comes back as it was, at its time', () => {
  expect(keptChange(CREATED, keepChange(CREATED, CREATED + 5, change))).toEqual({
    ...change,
    atMs: CREATED + 5,
  });
});

test('what is no text comes back too, also a number that could be the place of a phrase', () => {
  for (const value of [0, 7, 10_000, null, true, [], [1, 2], ['status'], { perDay: 5, perHour: null }]) {
    const kept = keepChange(CREATED, CREATED, { ...change, from: value, to: value });
    expect(keptChange(CREATED, JSON.parse(JSON.stringify(kept)))).toMatchObject({ from: value, to: value });
  }
});

// Records hold the places of these phrases, so none may ever move.
test('phrases have the places that records know', () => {
  const places: [string, number][] = [
    ['status', 0],
    ['provisioning', 1],
    ['warming', 2],
    ['active', 3],
    ['cooldown', 4],
    ['released', 5],
    ['engine', 6],
    ['hold', 7],
    ['pool', 8],
    ['ceiling', 9],
    ['an address was taken from the inventory', 10],
    ['the IP was released', 20],
    ['the cooldown is over', 21],
    ['resumed', 24],
    ['set by the operator', 25],
    ['the IP left the pool', 26],
    ['labels', 27],
  ];
  for (const [phrase, place] of places) {
    expect(keepChange(0, 0, { ...change, because: phrase })[4], phrase).toBe(place);
    expect(keptChange(0, [0, 0, 0, 0, place, 6]).because).toBe(phrase);
  }
});

test('a phrase of a later version is told by its place', () => {
  expect(keptChange(CREATED, [0, 0, 1, 2, 9_999, 6])).toMatchObject({ because: 'phrase 9999', by: 'engine' });
});

test('the last 20 are kept, newest first, those of one decision too', () => {
  const history = Array.from({ length: 19 }, (_, index): unknown[] => [index]);
  const two = [change, { ...change, to: 'active' }];
  const kept = withChanges({ createdAtMs: CREATED, history }, CREATED + 9, two);
  expect(kept).toHaveLength(20);
  expect(kept[0]).toEqual(keepChange(CREATED, CREATED + 9, two[1]!));
  expect(kept[1]).toEqual(keepChange(CREATED, CREATED + 9, two[0]!));
  expect(kept.slice(2)).toEqual(history.slice(0, 18));
  expect(withChanges({ createdAtMs: CREATED, history }, CREATED, [])).toEqual(history);
});
