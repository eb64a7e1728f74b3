/**
 * The stop button of a whole account. Its IPs are held one handful after the other, each at once and for good: a stop that
 * is broken off in the middle is pressed again. The hold has a scope of its own, so that lifting it leaves every other hold
 * as it is. IPs that come to the account later are not under it.
 */
import { type Item, transact } from '../redis/transact.ts';
import * as decide from '../warmup/decide.ts';
import { ACCOUNT_SCOPE, type DedicatedIp } from '../warmup/dedicated-ip.ts';
import { eachByAddress } from './by-address.ts';
import { changeIp, planOf } from './change.ts';
import { nowIn, type Tenant } from './engine.ts';
import type { HoldRequest } from './ips.ts';
import { itemFor } from './save.ts';

/** One script: about 4 ms, in which senders wait. */
const AT_ONCE = 50;

/** @returns how many IPs are held by it now that were not before, or were for another reason */
export async function holdAll(tenant: Tenant, request: HoldRequest): Promise<number> {
  decide.checkHold(request, await nowIn(tenant));
  return changeAll(tenant, (ip, nowMs) =>
    decide.hold(ip, { ...request, scope: ACCOUNT_SCOPE, by: tenant.by }, nowMs),
  );
}

/** @returns how many IPs it held */
export async function resumeAll(tenant: Tenant): Promise<number> {
  return changeAll(tenant, (ip, nowMs) => decide.resume(ip, ACCOUNT_SCOPE, nowMs, tenant.by));
}

type Decide = (ip: DedicatedIp, nowMs: number) => decide.Decision;

async function changeAll(tenant: Tenant, decideOne: Decide): Promise<number> {
  let changed = 0;
  let handful: DedicatedIp[] = [];
  for await (const ip of eachByAddress(tenant)) {
    handful.push(ip);
    if (handful.length < AT_ONCE) continue;
    changed += await changeSome(tenant, handful, decideOne);
    handful = [];
  }
  return changed + (await changeSome(tenant, handful, decideOne));
}

async function changeSome(tenant: Tenant, ips: readonly DedicatedIp[], decideOne: Decide): Promise<number> {
  if (ips.length === 0) return 0;
  const nowMs = await nowIn(tenant);
  const decided = ips
    .map((before) => ({ before, decision: decideOne(before, nowMs) }))
    .filter(({ before, decision }) => decision.ip !== before);
  const items: Item[] = await Promise.all(
    decided.map(async ({ before, decision }) =>
      itemFor(tenant, before, decision, await planOf(tenant, decision.ip), nowMs),
    ),
  );
  const applied = await transact(tenant.engine.scripts, tenant.account, items, { whole: false });
  // Somebody else was faster with these.
  for (const [index, { before }] of decided.entries()) {
    if (!applied[index]) await changeIp(tenant, before.id, (ip, atMs) => holdable(ip, decideOne, atMs));
  }
  return decided.length;
}

/** It may have been released meanwhile: then there is nothing to stop. */
function holdable(ip: DedicatedIp, decideOne: Decide, nowMs: number): decide.Decision {
  const isGone = ip.status === 'cooldown' || ip.status === 'released';
  return isGone ? { ip, changes: [] } : decideOne(ip, nowMs);
}
