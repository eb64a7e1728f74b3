/** Takes the sends of one message: so that every recipient leaves from one IP, and all of them are granted or none. */
import type { Grant, TakeAnswer } from '../redis/answer.ts';
import type { TakeRequest } from '../redis/limiter.ts';
import type { Sender } from './index.ts';

/** Two grants that cannot be made whole are tried again soon: what is left of each IP changes with every take. */
const RETRY_UNEVEN_MS = 1_000;

/** @param weight sends that one recipient stands for */
export async function takeFor(
  sender: Sender,
  request: TakeRequest,
  recipients: number,
  weight: number,
): Promise<TakeAnswer> {
  const answer = await sender.take({ ...request, count: recipients * weight });
  if (weight === 1 || answer.granted.every(({ count }) => count % weight === 0)) return answer;
  await giveBack(sender, answer.granted);
  return takeWhole(sender, request, answer, recipients, weight);
}

/** Asks the IPs that were granted one by one, for as many whole recipients as each has room for. */
async function takeWhole(
  sender: Sender,
  request: TakeRequest,
  answer: TakeAnswer,
  recipients: number,
  weight: number,
): Promise<TakeAnswer> {
  const granted: Grant[] = [];
  let missing = recipients;
  for (const { ip } of answer.granted) {
    // Not by the IP alone: the pool may have a limit of its own.
    const one = { ...request, among: [ip] };
    const room = await sender.peek({ ...one, count: missing * weight, partial: true });
    const whole = Math.floor((room.granted[0]?.count ?? 0) / weight);
    if (whole === 0) continue;
    const taken = await sender.take({ ...one, count: whole * weight });
    if (!taken.allowed) continue;
    granted.push(...taken.granted);
    missing -= whole;
    if (missing === 0) return { ...answer, granted };
  }
  await giveBack(sender, granted);
  return { ...answer, allowed: false, granted: [], retryAfterMs: RETRY_UNEVEN_MS };
}

/** Never throws: what cannot be given back is spent, and the caller has something more important to tell. */
export async function giveBack(sender: Sender, grants: readonly Grant[]): Promise<boolean> {
  // Without a receipt it was granted while Redis was away, and nothing was counted.
  const refunds = grants.filter(({ receipt }) => receipt !== '').map(({ receipt }) => ({ receipt }));
  if (refunds.length === 0) return false;
  try {
    await sender.refund(refunds);
    return true;
  } catch {
    return false;
  }
}
