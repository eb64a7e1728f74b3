/** A hang is a mistake like any other: it ends here, and says what was asked. */
export class NoAnswer extends Error {}

/** Generous, as a forecast thinks for seconds, and everything else on this machine goes on meanwhile. */
export const ANSWERED_WITHIN_MS = 30_000;

/** @throws NoAnswer */
export async function inTime<Answer>(
  what: string,
  answer: PromiseLike<Answer>,
  withinMs = ANSWERED_WITHIN_MS,
): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    const hangs = () => reject(new NoAnswer(`${what} was not answered within ${withinMs / 1000} s`));
    timer = setTimeout(hangs, withinMs);
  });
  try {
    return await Promise.race([answer, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
