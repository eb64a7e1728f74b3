/**
 * The stop button of a whole account. The stop is written first, so that whoever comes from then on is under it; then the
 * IPs that are there are held one handful after the other, each at once and for good. What is broken off in the middle is
 * pressed again. Its hold has a scope of its own, so that lifting it leaves every other hold as it is.
 */
import { type Item, transact } from '../redis/transact.ts';
import * as decide from '../warmup/decide.ts';
import { ACCOUNT_SCOPE, type DedicatedIp, type Hold } from '../warmup/dedicated-ip.ts';
import { isHeld } from '../warmup/progress.ts';
import { changeStop, readStop, type Stop, stillUnder } from './account-hold.ts';
import { eachByAddress } from './by-address.ts';
import { changeIp, planOf } from './change.ts';
import { nowIn, type Tenant } from './engine.ts';
import type { HoldRequest } from './ips.ts';
import { itemFor } from './save.ts';

/** One script: about 4 ms, in which senders wait. */
const AT_ONCE = 50;

/** What stops the account, and how many of its IPs were changed. */
export type HeldAll = { hold: Hold | null; changed: number };

/** The same again changes only the IPs that a failure left out. */
export async function holdAll(tenant: Tenant, request: HoldRequest): Promise<HeldAll> {
  const stop = await changeStop(tenant, (before, nowMs) => {
    decide.checkHold(request, nowMs);
    const asked: Hold = { ...request, scope: ACCOUNT_SCOPE, by: tenant.by, sinceMs: nowMs };
    return before && isHeld(before, nowMs) && decide.isSameHold(before, asked) ? before : asked;
  });
  return {
    hold: stop.hold,
    changed: await changeAll(tenant, stop, (ip, nowMs) => decide.stopWithAccount(ip, stop.hold, nowMs)),
  };
}

export async function resumeAll(tenant: Tenant): Promise<HeldAll> {
  const stop = await changeStop(tenant, () => null);
  return {
    hold: null,
    changed: await changeAll(tenant, stop, (ip, nowMs) => decide.resume(ip, ACCOUNT_SCOPE, nowMs, tenant.by)),
  };
}

/** What stops the account now. */
export async function accountHold(tenant: Tenant): Promise<Hold | null> {
  const [{ hold }, nowMs] = await Promise.all([readStop(tenant), nowIn(tenant)]);
  return hold && isHeld(hold, nowMs) ? hold : null;
}

type Decide = (ip: DedicatedIp, nowMs: number) => decide.Decision;

/** Ends early when somebody has stopped or resumed the account anew: their round is about all IPs, and the later one. */
async function changeAll(tenant: Tenant, stop: Stop, decideOne: Decide): Promise<number> {
  let changed = 0;
  let handful: DedicatedIp[] = [];
  const changeHandful = async () => {
    if (handful.length > 0) changed += await changeSome(tenant, stop, handful, decideOne);
    handful = [];
  };
  for await (const ip of eachByAddress(tenant)) {
    handful.push(ip);
    if (handful.length < AT_ONCE) continue;
    await changeHandful();
    if ((await readStop(tenant)).rev !== stop.rev) return changed;
  }
  await changeHandful();
  return changed;
}

async function changeSome(
  tenant: Tenant,
  stop: Stop,
  ips: readonly DedicatedIp[],
  decideOne: Decide,
): Promise<number> {
  const nowMs = await nowIn(tenant);
  const decided = ips
    .map((before) => ({ before, decision: decideOne(before, nowMs) }))
    .filter(({ before, decision }) => decision.ip !== before);
  const items: Item[] = await Promise.all(
    decided.map(async ({ before, decision }) => {
      const item = itemFor(tenant, before, decision, await planOf(tenant, decision.ip), nowMs);
      item.check.push(stillUnder(tenant, stop));
      return item;
    }),
  );
  const applied = await transact(tenant.engine.scripts, tenant.account, items, { whole: false });
  let changed = applied.filter(Boolean).length;
  // Somebody else was faster with these.
  for (const [index, { before }] of decided.entries()) {
    if (applied[index]) continue;
    await changeIp(tenant, before.id, async (ip, atMs) => {
      const isOver = (await readStop(tenant)).rev !== stop.rev;
      // A released one has its hold no more, and nothing about it can be changed.
      const decision = isOver || ip.status === 'released' ? { ip, changes: [] } : decideOne(ip, atMs);
      if (decision.ip !== ip) changed += 1;
      return { ...decision, check: [stillUnder(tenant, stop)] };
    });
  }
  return changed;
}
