/** What can be done with one dedicated IP. Every function is one change of status, hold or limit, whole or not at all. */

import { canonicalAddress } from '../warmup/address.ts';
import * as decide from '../warmup/decide.ts';
import type { Ceiling, DedicatedIp } from '../warmup/dedicated-ip.ts';
import { invalid } from '../warmup/errors.ts';
import { keptChange } from '../warmup/history.ts';
import { buildPlan, DEFAULT_PLAN } from '../warmup/plan.ts';
import { readStop, stillUnder } from './account-hold.ts';
import { changeIp, findIpId, keepPlan, loadIp, loadIps, v3Plan } from './change.ts';
import type { Tenant } from './engine.ts';
import { checkHostname } from './inventory.ts';

/** More than any schedule has. */
const MOST_SENDS = 1_000_000_000;

export type StartRequest = {
  plan?: string | undefined;
  zone?: string | undefined;
  burst?: number | null | undefined;
  dayStartsAt?: string | undefined;
  startDay?: number | undefined;
};

/**
 * Starts the warm-up. The rows of the plan are kept with the IP, so that editing a table changes no warm-up that runs. On
 * an IP that is warming already nothing changes.
 */
export async function startWarmup(tenant: Tenant, ip: string, request: StartRequest): Promise<DedicatedIp> {
  const plan = buildPlan(request.plan ?? DEFAULT_PLAN, tenant.engine.book);
  const burst = request.burst ?? null;
  if (burst !== null && !(Number.isInteger(burst) && burst >= 1 && burst <= MOST_SENDS)) {
    throw invalid(
      'burst',
      `burst is ${burst}; it must be a whole number of sends from 1 (an even drip) to ${MOST_SENDS}`,
    );
  }
  const options = {
    zone: request.zone ?? 'UTC',
    burst,
    dayStartsAt: request.dayStartsAt ?? 'start',
    startDay: request.startDay ?? 1,
  };
  return changeIp(tenant, await findIpId(tenant, ip), (before, nowMs) => ({
    ...decide.startWarmup(before, plan, options, nowMs, tenant.by),
    ...keepPlan(tenant, plan),
  }));
}

/** Ends the warm-up by hand: the IP is active from now on. */
export async function endWarmup(tenant: Tenant, ip: string): Promise<DedicatedIp> {
  return changeIp(tenant, await findIpId(tenant, ip), (before, nowMs) =>
    decide.endWarmup(before, nowMs, tenant.by),
  );
}

/** Out of its pools and without quota at once; free again (or gone, if it was brought) when the cooldown is over. */
export async function releaseIp(tenant: Tenant, ip: string): Promise<DedicatedIp> {
  const { cooldownMs } = tenant.engine;
  return changeIp(tenant, await findIpId(tenant, ip), (before, nowMs) =>
    decide.release(before, cooldownMs, nowMs, tenant.by),
  );
}

export async function restoreIp(tenant: Tenant, ip: string): Promise<DedicatedIp> {
  return changeIp(tenant, await findIpId(tenant, ip), async (before, nowMs) => {
    // Its release took it from under a stop of the account; it comes back under the one that is in force now.
    const stop = await readStop(tenant);
    const back = decide.restore(before, nowMs, tenant.by);
    const held = decide.stopWithAccount(back.ip, stop.hold, nowMs);
    return {
      ip: held.ip,
      changes: [...back.changes, ...held.changes],
      check: [stillUnder(tenant, stop)],
    };
  });
}

export type HoldRequest = { sending: boolean; advance: boolean; because: string; untilMs: number | null };

/** The stop button: no mail, no progress or both, at once. */
export async function holdIp(tenant: Tenant, ip: string, request: HoldRequest): Promise<DedicatedIp> {
  return changeIp(tenant, await findIpId(tenant, ip), (before, nowMs) =>
    decide.hold(before, { ...request, scope: 'ip', by: tenant.by }, nowMs),
  );
}

export async function resumeIp(tenant: Tenant, ip: string): Promise<DedicatedIp> {
  return changeIp(tenant, await findIpId(tenant, ip), (before, nowMs) =>
    decide.resume(before, 'ip', nowMs, tenant.by),
  );
}

/** @throws WarmlineError `invalid` (param `ceiling.perDay` or `ceiling.perHour`) */
export function checkCeiling(ceiling: Partial<Ceiling>): void {
  for (const [name, limit] of Object.entries(ceiling)) {
    if (limit !== null && !(Number.isInteger(limit) && limit >= 1 && limit <= MOST_SENDS)) {
      throw invalid(
        `ceiling.${name}`,
        `${name} is ${limit}; it must be a whole number from 1 to ${MOST_SENDS}, or null for none`,
      );
    }
  }
}

/** An operator's own limit, binding in every status; `null` is none. A limit that is not named stays as it is. */
export async function setCeiling(
  tenant: Tenant,
  ip: string,
  ceiling: Partial<Ceiling>,
): Promise<DedicatedIp> {
  checkCeiling(ceiling);
  return changeIp(tenant, await findIpId(tenant, ip), (before) =>
    decide.setCeiling(before, { ...before.ceiling, ...ceiling }, tenant.by),
  );
}

const MOST_LABELS = 20;

/** @throws WarmlineError `invalid` (param `labels` or `labels.<key>`) */
export function checkLabels(labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  if (entries.length > MOST_LABELS) {
    throw invalid('labels', `${entries.length} labels are given; an IP has at most ${MOST_LABELS}`);
  }
  for (const [key, value] of entries) {
    if (!/^[\p{L}\p{N}][\p{L}\p{N}._/-]{0,62}$/u.test(key) || key === '__proto__') {
      throw invalid(
        'labels',
        `"${key.slice(0, 64)}" is no key of a label; use 1 to 63 letters, digits, dots, dashes, slashes and underscores`,
      );
    }
    if (typeof value !== 'string' || value.length > 256 || /\p{Cc}/u.test(value)) {
      throw invalid(`labels.${key}`, `the label ${key} must be a text of at most 256 characters on one line`);
    }
  }
}

/** Changes several things of an IP at once; what is not named stays as it is. */
export async function updateIp(tenant: Tenant, ip: string, given: decide.IpUpdate): Promise<DedicatedIp> {
  const { hostname, bind, labels, ceiling, subusers } = given;
  if (labels !== undefined) checkLabels(labels);
  if (ceiling !== undefined) checkCeiling(ceiling);
  if (subusers !== undefined) checkSubusers(subusers);
  const checked = {
    ...given,
    ...(hostname == null ? {} : { hostname: checkHostname(hostname) }),
    ...(bind == null ? {} : { bind: canonicalAddress(bind, 'bind') }),
  };
  return changeIp(tenant, await findIpId(tenant, ip), (before, nowMs) =>
    decide.update(before, checked, nowMs, tenant.by),
  );
}

/** As the v3 dialect has it: the flag, and the warm-up itself as far as the status allows one. All in one change. */
export async function updateIpOfV3(
  tenant: Tenant,
  ip: string,
  given: Pick<decide.IpUpdate, 'autoWarmup' | 'parentAssigned' | 'enabled'>,
): Promise<DedicatedIp> {
  const plan = v3Plan(tenant.engine);
  return changeIp(tenant, await findIpId(tenant, ip), (before, nowMs) => {
    const updated = decide.update(before, given, nowMs, tenant.by);
    const moved =
      given.autoWarmup === true
        ? decide.startWarmup(updated.ip, plan, V3_START, nowMs, tenant.by)
        : given.autoWarmup === false && updated.ip.status === 'warming'
          ? decide.endWarmup(updated.ip, nowMs, tenant.by)
          : { ip: updated.ip, changes: [] };
    const begins = before.status !== 'warming' && moved.ip.status === 'warming';
    return {
      ip: moved.ip,
      changes: [...updated.changes, ...moved.changes],
      ...(begins ? keepPlan(tenant, plan) : {}),
    };
  });
}

const V3_START = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay: 1 };

const MOST_SUBUSERS = 1_000;

function checkSubusers(subusers: readonly string[]): void {
  if (subusers.length > MOST_SUBUSERS) {
    throw invalid('subusers', `${subusers.length} subusers are given; an IP has at most ${MOST_SUBUSERS}`);
  }
}

/** Puts the labels of subusers on an IP, or takes them off: all of them or none. Those it has already are no error. */
export async function changeSubusers(
  tenant: Tenant,
  ip: string,
  { add = [], remove = [] }: { add?: readonly string[]; remove?: readonly string[] },
): Promise<DedicatedIp> {
  return changeIp(tenant, await findIpId(tenant, ip), (before, nowMs) => {
    const kept = before.subusers.filter((id) => !remove.includes(id));
    const subusers = [...new Set([...kept, ...add])];
    checkSubusers(subusers);
    return decide.update(before, { subusers }, nowMs, tenant.by);
  });
}

export async function getIp(tenant: Tenant, ip: string): Promise<DedicatedIp> {
  return loadIp(tenant, await findIpId(tenant, ip));
}

/** Ids of the account's IPs by creation, behind one of them. */
const idsBehind = ({ engine, keys }: Tenant, after: ListPosition | null, limit: number) =>
  engine.scripts.run('page-after', [keys.ips, after?.atMs ?? 0, after?.id ?? '', limit]) as Promise<string[]>;

/** The IP that a page ended with. */
export type ListPosition = { atMs: number; id: string };

/** A filter that matches little looks at this many IPs for one page, and leaves the rest to the next. */
const MOST_LOOKED_AT = 1_000;

/**
 * The account's IPs by creation, one page that begins behind an IP of the page before: whoever leaves in the meantime shifts
 * nothing. `next` is where the page ended, `null` at the end; with a filter a page may be short and not the last.
 */
export async function pageOfIps(
  tenant: Tenant,
  {
    limit,
    after,
    wanted = () => true,
  }: { limit: number; after: ListPosition | null; wanted?: (ip: DedicatedIp) => boolean },
): Promise<{ ips: DedicatedIp[]; next: ListPosition | null }> {
  const ips: DedicatedIp[] = [];
  let position = after;
  let last: DedicatedIp | null = null;
  for (let looked = 0; ; ) {
    // One more than fits: it tells whether this page is the last.
    const ids = await idsBehind(tenant, position, limit + 1);
    for (const ip of await loadIps(tenant, ids)) {
      if (last && (ips.length === limit || looked === MOST_LOOKED_AT)) {
        return { ips, next: { atMs: last.createdAtMs, id: last.id } };
      }
      if (wanted(ip)) ips.push(ip);
      last = ip;
      looked += 1;
    }
    if (ids.length <= limit) return { ips, next: null };
    position = { atMs: last!.createdAtMs, id: last!.id };
  }
}

/** The last 20 changes of an IP, newest first. */
export async function historyOf(tenant: Tenant, ipId: string): Promise<(decide.Change & { at: string })[]> {
  const { createdAtMs, history } = await loadIp(tenant, ipId);
  return history.map((kept) => {
    const { atMs, ...change } = keptChange(createdAtMs, kept);
    return { at: new Date(atMs).toISOString(), ...change };
  });
}
