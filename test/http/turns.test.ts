import { expect, test } from 'vitest';
import { takeTurns } from '../../src/http/turns.ts';

test('so many run at once, others wait in line, and beyond the line they are refused', async () => {
  const inTurn = takeTurns('forecasts', { atOnce: 2, inLine: 1 });
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const work = (name: number) => () => {
    begun.push(name);
    return new Promise<number>((resolve) => ends.push(() => resolve(name)));
  };
  const [first, second, third] = [inTurn(work(1)), inTurn(work(2)), inTurn(work(3))];
  expect(begun).toEqual([1, 2]);
  await expect(inTurn(work(4))).rejects.toMatchObject({ code: 'contended' });
  ends[0]!();
  expect(await first).toBe(1);
  await expect.poll(() => begun).toEqual([1, 2, 3]);
  ends[1]!();
  ends[2]!();
  expect(await Promise.all([second, third])).toEqual([2, 3]);
  const failing = inTurn(() => Promise.reject(new Error('broken')));
  await expect(failing).rejects.toThrow('broken');
  const again = [inTurn(work(5)), inTurn(work(6))];
  expect(begun).toEqual([1, 2, 3, 5, 6]);
  for (const end of ends) end();
  await Promise.all(again);
});
