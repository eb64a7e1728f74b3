/**
 * The changes of a backup, put into the account's stream under the ids that they had, so that whoever follows it goes on
 * where they were. What was recorded here meanwhile stays, each in its place. A stream takes only ids behind its last, so
 * the whole is written beside it and takes its place in one step; doing it twice changes nothing.
 */
import { transact } from '../../redis/transact.ts';
import { retryWhenContended } from '../change.ts';
import { isBefore } from '../changes.ts';
import type { Tenant } from '../engine.ts';
import type { Attempt } from './attempt.ts';
import type { LineOf } from './format.ts';

type Entry = Pick<LineOf<'change'>, 'id' | 'change'>;

const WRITTEN_AT_ONCE = 500;
const READ_AT_ONCE = 1_000;

export async function restoreChanges(
  tenant: Tenant,
  attempt: Attempt,
  changes: readonly Entry[],
): Promise<void> {
  const newest = changes.at(-1)?.id;
  if (newest === undefined) return;
  await passOver(tenant, newest);
  const { redis } = tenant.engine.scripts;
  // An attempt that was killed has left its own.
  if (attempt.before) await redis.del(tenant.keys.changesRestored(attempt.before.rev));
  const beside = tenant.keys.changesRestored(attempt.rev());
  await retryWhenContended(async () => {
    await attempt.check();
    const standing = await streamOf(tenant);
    const all = merged(changes, standing);
    if (all.length === standing.length) return true;
    await writeBeside(tenant, beside, all);
    return (await swap(tenant, attempt, beside, standing.at(-1)?.id)) ? true : null;
  }).catch(async (error) => {
    await redis.del(beside).catch(() => {});
    throw error;
  });
}

/** The whole stream, or what is in it up to an id. */
export async function streamOf({ engine, keys }: Tenant, upTo = '+'): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let from = '-'; ; ) {
    const page = await engine.scripts.redis.xrange(keys.changes, from, upTo, 'COUNT', READ_AT_ONCE);
    for (const [id, [, change]] of page) entries.push({ id, change: change! });
    if (page.length < READ_AT_ONCE) return entries;
    from = `(${page.at(-1)![0]}`;
  }
}

/** Webhooks that are here already were not meant for what was before: they are told nothing of the file. */
async function passOver({ engine, keys }: Tenant, newest: string): Promise<void> {
  const { redis } = engine.scripts;
  if ((await redis.hlen(keys.webhooks)) === 0) return;
  await retryWhenContended(async () => {
    const position = await redis.get(keys.webhookPosition);
    if (position !== null && !isBefore(position, newest)) return true;
    const moved = await engine.scripts.run('webhook-advance', [keys.webhookPosition, position ?? '', newest]);
    return Number(moved) === 1 ? true : null;
  });
}

/** Both are in order. What is in both stands once. */
function merged(changes: readonly Entry[], standing: readonly Entry[]): Entry[] {
  const all: Entry[] = [];
  let at = 0;
  for (const entry of standing) {
    while (at < changes.length && isBefore(changes[at]!.id, entry.id)) all.push(changes[at++]!);
    if (changes[at]?.id === entry.id) at += 1;
    all.push(entry);
  }
  return [...all, ...changes.slice(at)];
}

async function writeBeside({ engine }: Tenant, beside: string, entries: readonly Entry[]): Promise<void> {
  const { redis } = engine.scripts;
  await redis.del(beside);
  for (let at = 0; at < entries.length; at += WRITTEN_AT_ONCE) {
    const some = entries.slice(at, at + WRITTEN_AT_ONCE);
    await Promise.all(some.map(({ id, change }) => redis.xadd(beside, id, 'change', change)));
  }
}

/**
 * @param newest of the stream as it was read
 * @returns false when somebody has recorded something since, or another attempt goes on in the place of this one
 */
async function swap(
  { engine, account, keys }: Tenant,
  attempt: Attempt,
  beside: string,
  newest: string | undefined,
): Promise<boolean> {
  try {
    if (newest === undefined) return (await engine.scripts.redis.renamenx(beside, keys.changes)) === 1;
    const run = [
      // It fails when the stream has a newer entry, and then nothing of the script is done.
      ['XSETID', keys.changes, newest],
      ['RENAME', beside, keys.changes],
    ];
    const item = { check: [attempt.stillOurs()], run, publish: [] };
    const [applied] = await transact(engine.scripts, account, [item], { whole: true });
    return applied === true;
  } catch (error) {
    const reason = (error as Error).message;
    if (reason.includes('specified in XSETID is smaller') || reason.includes('no such key')) return false;
    throw error;
  }
}
