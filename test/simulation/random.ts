/** Every choice of a simulation comes from one seed, so that a run can be had again. */
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

export type Random = {
  /** A whole number, both ends included. */
  int(from: number, to: number): number;
  /** True in `percent` of 100 cases. */
  chance(percent: number): boolean;
  pick<T>(list: readonly T[]): T;
  /** Of `[weight, value]` pairs, the heavier ones more often. */
  weighted<T>(choices: readonly (readonly [weight: number, value: T])[]): T;
};

export function randomOf(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  const int = (from: number, to: number) => uniformInt(generator, from, to);
  return {
    int,
    chance: (percent) => int(1, 100) <= percent,
    pick: (list) => list[int(0, list.length - 1)]!,
    weighted(choices) {
      let at = int(
        1,
        choices.reduce((sum, [weight]) => sum + weight, 0),
      );
      for (const [weight, value] of choices) {
        at -= weight;
        if (at <= 0) return value;
      }
      throw new Error('no choice has a weight');
    },
  };
}
