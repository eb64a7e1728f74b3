import fc from 'fast-check';

/** How many a property test draws: the same each time, or new ones with `RUNS=1000`. */
export const drawn = (numRuns: number) =>
  process.env.RUNS ? { numRuns: Number(process.env.RUNS) } : { numRuns, seed: 20261121 };

/**
 * Draws them as `drawn` has it, and for so long at most. That the time was over is a success for fast-check, however few
 * were drawn; here a third of them is the least that proves something.
 */
export async function holdsFor<Ts>(
  property: fc.IAsyncProperty<Ts>,
  numRuns: number,
  withinMs = 40_000,
): Promise<void> {
  const found = await fc.check(property, { ...drawn(numRuns), interruptAfterTimeLimit: withinMs });
  if (found.failed)
    throw new Error(await fc.asyncDefaultReportMessage(found), { cause: found.errorInstance });
  const least = Math.ceil(Math.min(found.runConfiguration.numRuns ?? numRuns, numRuns) / 3);
  if (found.numRuns < least) {
    throw new Error(
      `only ${found.numRuns} of ${numRuns} were drawn within ${withinMs / 1000} s, and ${least} are the least: let the machine do less beside, or draw fewer`,
    );
  }
}
