/** Chance that can be had again: every choice of a run comes from one seed, in the order in which it is asked for. */

export type Random = {
  /** A whole number, both ends included. */
  int(least: number, most: number): number;
  chance(share: number): boolean;
  pick<Item>(list: readonly Item[]): Item;
  /** One of the names, each as often as its weight says. */
  weighed<Name extends string>(weights: Readonly<Record<Name, number>>): Name;
};

/** Mulberry32: 32 bits of state are plenty for a few million choices, and it is the same on every machine. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const random: Random = {
    int: (least, most) => least + Math.floor(next() * (most - least + 1)),
    chance: (share) => next() < share,
    pick(list) {
      if (list.length === 0) throw new Error('there is nothing to pick from');
      return list[random.int(0, list.length - 1)]!;
    },
    weighed(weights) {
      const entries = Object.entries(weights) as [keyof typeof weights, number][];
      let left = next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [name, weight] of entries) {
        left -= weight;
        if (left < 0) return name;
      }
      return entries.at(-1)![0];
    },
  };
  return random;
}
