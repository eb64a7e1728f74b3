/**
 * A history that breaks a promise is cut down to one that is short enough to read: parts are left out as long as what remains
 * breaks the same promise (delta debugging, Zeller 1999).
 */
import type { Step } from './history.ts';

/** @param breaks runs a history and says whether it breaks the promise @param most so many runs at the most */
export async function shorten(
  steps: readonly Step[],
  breaks: (steps: readonly Step[]) => Promise<boolean>,
  most = 150,
): Promise<readonly Step[]> {
  let short = steps;
  let runs = 0;
  for (let size = Math.ceil(short.length / 2); size >= 1 && runs < most; ) {
    let isShorter = false;
    // From the end: what broke it stands there, and what led to it before it.
    for (let end = short.length - 1; end > 0 && runs < most; end -= size) {
      const without = [...short.slice(0, Math.max(0, end - size)), ...short.slice(end)];
      if (without.length === short.length) break;
      runs += 1;
      if (!(await breaks(without))) continue;
      short = without;
      isShorter = true;
    }
    if (size === 1 && !isShorter) break;
    size = size === 1 ? 1 : Math.floor(size / 2);
  }
  return short;
}
