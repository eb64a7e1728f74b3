/** How many a property test draws: the same each time, or new ones with `RUNS=1000`. */
export const drawn = (numRuns: number) =>
  process.env.RUNS ? { numRuns: Number(process.env.RUNS) } : { numRuns, seed: 20261121 };
