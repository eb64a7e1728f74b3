/**
 * The stop of a whole account, kept in a record of its own: an IP that comes to the account, or back from cooldown, is put
 * under it in the script that brings it. That script names the revision which was read, so none slips past a stop that is
 * placed at the same moment.
 */
import { z } from 'zod';
import { type Item, transact } from '../redis/transact.ts';
import { Hold } from '../warmup/dedicated-ip.ts';
import { retryWhenContended } from './change.ts';
import { nowIn, type Tenant } from './engine.ts';
import { recordChange, recordOf } from './save.ts';

export const Stop = z.object({ rev: z.number().int(), hold: Hold.nullable() });
/** `rev` 0: there never was one. */
export type Stop = z.infer<typeof Stop>;

export async function readStop({ engine, keys }: Tenant): Promise<Stop> {
  const raw = await engine.scripts.redis.get(keys.accountHold);
  return raw ? Stop.parse(JSON.parse(raw)) : { rev: 0, hold: null };
}

/** Part of an item that was decided on this stop: refused once it is another one. */
export const stillUnder = ({ keys }: Tenant, { rev }: Stop): Item['check'][number] => [keys.accountHold, rev];

/** @param decide pure; the same hold again writes nothing */
export function changeStop(
  tenant: Tenant,
  decide: (before: Hold | null, nowMs: number) => Hold | null,
): Promise<Stop> {
  return retryWhenContended(async () => {
    const [before, nowMs] = await Promise.all([readStop(tenant), nowIn(tenant)]);
    const hold = decide(before.hold, nowMs);
    if (hold === before.hold) return before;
    const after = { rev: before.rev + 1, hold };
    const change = {
      ...{ what: 'hold', from: before.hold, to: hold, by: tenant.by },
      because: hold?.because ?? 'resumed',
    };
    const item: Item = {
      check: [stillUnder(tenant, before)],
      run: [
        ['SET', tenant.keys.accountHold, recordOf(after.rev, after)],
        recordChange(tenant, nowMs, change),
      ],
      publish: [],
    };
    const [applied] = await transact(tenant.engine.scripts, tenant.account, [item], { whole: true });
    return applied ? after : null;
  });
}
