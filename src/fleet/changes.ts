/** The account's stream of changes, read from any place in it; what is read is never more than a page. */
import type { Change } from '../warmup/decide.ts';
import type { Tenant } from './engine.ts';

/** A change as the stream keeps it; one of a pool or of the account names no IP. */
export type KeptChange = Change & {
  /** Its place in the stream. */
  id: string;
  at: string;
  ipId?: string;
  address?: string;
};

/** A page that skips what came before an instant reads this many changes, and leaves the rest to the next page. */
const MOST_LOOKED_AT = 10_000;
const MOST_AT_ONCE = 1_000;

/**
 * Oldest first.
 * @param after the id of a change; those behind it come. `null`: from the oldest that is kept
 * @param fromMs an instant of engine time; what was before it is left out
 * @returns `last`: where the page ended, `null` at the end of the stream; `gap`: changes that would have come first were dropped
 */
export async function readChanges(
  tenant: Tenant,
  { after, fromMs, limit }: { after: string | null; fromMs: number | null; limit: number },
): Promise<{ changes: KeptChange[]; last: string | null; gap: boolean }> {
  const { redis, testClock } = tenant.engine.scripts;
  // The ids of a stream are on the clock of Redis. So is engine time, unless a test moves it.
  const beginning = fromMs === null || testClock ? '-' : `${fromMs}-0`;
  // One more than fits: it tells whether this page is the last.
  const atOnce = Math.min(MOST_AT_ONCE, limit + 1);
  const changes: KeptChange[] = [];
  let last = after;
  for (let looked = 0; ; ) {
    const from = last === null ? beginning : `(${last}`;
    const entries = await redis.xrange(tenant.keys.changes, from, '+', 'COUNT', atOnce);
    for (const [id, [, text]] of entries) {
      if (changes.length === limit || looked === MOST_LOOKED_AT) {
        return { changes, last, gap: await hasGap(tenant, after, fromMs) };
      }
      const change = { ...(JSON.parse(text!) as Omit<KeptChange, 'id'>), id };
      if (fromMs === null || Date.parse(change.at) >= fromMs) changes.push(change);
      last = id;
      looked += 1;
    }
    if (entries.length < atOnce) return { changes, last: null, gap: await hasGap(tenant, after, fromMs) };
  }
}

/** The last changes, newest first. @param before the id of a change; those before it come. `null`: from the newest */
export async function latestChanges(
  tenant: Tenant,
  { before, limit }: { before: string | null; limit: number },
): Promise<{ changes: KeptChange[]; next: string | null }> {
  const { redis } = tenant.engine.scripts;
  const from = before === null ? '+' : `(${before}`;
  // One more than fits: it tells whether there are older ones.
  const entries = await redis.xrevrange(tenant.keys.changes, from, '-', 'COUNT', limit + 1);
  const changes = entries
    .slice(0, limit)
    .map(([id, [, text]]) => ({ ...(JSON.parse(text!) as Omit<KeptChange, 'id'>), id }));
  return { changes, next: entries.length > limit ? changes.at(-1)!.id : null };
}

/** Were changes dropped that whoever asks has not seen? The stream keeps about as many as `save.ts` says. */
async function hasGap(
  { engine, keys }: Tenant,
  after: string | null,
  fromMs: number | null,
): Promise<boolean> {
  const { redis } = engine.scripts;
  const [oldest] = await redis.xrange(keys.changes, '-', '+', 'COUNT', 1);
  if (!oldest) return false;
  const [id, [, text]] = oldest;
  if (after !== null ? !isBefore(after, id) : fromMs !== null && fromMs >= Date.parse(atOf(text!)))
    return false;
  const info = (await redis.xinfo('STREAM', keys.changes)) as unknown[];
  const field = (name: string) => Number(info[info.indexOf(name) + 1]);
  return field('entries-added') > field('length');
}

const atOf = (text: string) => (JSON.parse(text) as { at: string }).at;

/** Ids are two numbers, and later ones are larger. */
export function isBefore(a: string, b: string): boolean {
  const [ams, asequence = 0n] = a.split('-').map(BigInt);
  const [bms, bsequence = 0n] = b.split('-').map(BigInt);
  return ams! < bms! || (ams === bms && asequence < bsequence);
}
