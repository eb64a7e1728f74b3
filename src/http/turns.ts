/** So many costly requests at once; others wait in line, and beyond a bound are told to come again. */
import { WarmlineError } from '../warmup/errors.ts';

/**
 * @param what for people: `forecasts`
 * @returns runs a piece of work when its turn has come; throws WarmlineError `contended` when the line is too long
 */
export function takeTurns(what: string, { atOnce, inLine }: { atOnce: number; inLine: number }) {
  const line: (() => void)[] = [];
  let running = 0;
  return async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (running >= atOnce) {
      if (line.length >= inLine) {
        throw new WarmlineError('contended', `too many ${what} are asked for at once; try again in a moment`);
      }
      // Whoever ends hands its place over, so that nobody slips in between.
      await new Promise<void>((go) => line.push(go));
    } else {
      running += 1;
    }
    try {
      return await work();
    } finally {
      const next = line.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
