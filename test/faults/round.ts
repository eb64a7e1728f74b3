/**
 * One round: fresh IPs, senders that use up their limits as fast as they can, an operator who changes things, a fault in
 * their midst, the wait until everything goes on by itself, and the books.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Books, balance, type LimitedIp } from './books.ts';
import type { Operator } from './operator.ts';
import type { Scenario, Struck } from './scenario.ts';
import { type SenderProcess, type Stage, ticksOf, type WorkerProcess } from './stage.ts';

/** Rows of the published tables: by day of the warm-up, what an IP may send in an hour, or in a day. */
const LARGE = [
  { kind: 'hourly', plan: 'sendgrid-hourly', startDay: 18, limit: 6_098 },
  { kind: 'daily', plan: 'fourteen-day', startDay: 8, limit: 10_000 },
] as const;
const SMALL = [
  { kind: 'hourly', plan: 'sendgrid-hourly', startDay: 11, limit: 579 },
  { kind: 'daily', plan: 'fourteen-day', startDay: 4, limit: 500 },
] as const;
const OF_EACH_KIND = 3;
/** The fault strikes when this part of all limits is used up, about in the middle. */
const [STRIKES_FROM, STRIKES_TO] = [0.15, 0.6];
/** Everything must go on by itself within this time, or it does not heal. */
const HEALS_WITHIN_MS = 30_000;
const DRY_WITHIN_MS = 30_000;
const HOUR_MS = 3_600_000;

export type Round = Books & {
  /** How long the fault lasted. */
  faultMs: number;
  /** The longest time without a single grant for a sender that takes, and one that leases. */
  silentMs: { takes: number; leases: number };
  /** Turns of senders that takes answered with `unreachable`, and the longest time that a turn took. */
  unreachable: number;
  longestTurnMs: number;
  /** Sends of the IP without limits that `allow-active` let go on. */
  openSends: number;
  /** From the end of the fault until the last of them went on. */
  healsMs: { senders: number; api: number; workers: number };
  note: string;
};

type Turn = { who: string; state: string; isDry: boolean; endMs: number; tookMs: number };

/** What a sender has written down in this round; `ofTurn`: what the turn was granted whose end is still to be read. */
type Told = { sender: SenderProcess; turns: Turn[]; ofTurn: [address: string, count: number][] };

/** What a turn was granted of an IP. */
type Grants = { who: string; address: string; count: number; endMs: number; tookMs: number };
/** So long what a lease has drawn may be spent. */
const LEASE_MS = 1_000;

export async function runRound(
  stage: Stage,
  scenario: Scenario,
  {
    isSample = false,
    random = Math.random,
    round,
  }: { isSample?: boolean; random?: () => number; round: number },
): Promise<Round> {
  const startedMs = Date.now();
  const pidsBefore = pidsOf(stage);
  const strike = await scenario.arm(stage);
  const limited = await freshIps(stage, isSample, round);
  const [granted, uncounted] = [new Map<string, number>(), new Map<string, number>()];
  const failures: string[] = [];
  const told = new Map<SenderProcess, Told>();
  const grants: Grants[] = [];
  const freeBefore = (await stage.charged([freeIp(stage)])).get(stage.free.ipAddress) ?? 0;

  function read(): void {
    for (const sender of stage.senders)
      if (!told.has(sender)) told.set(sender, { sender, turns: [], ofTurn: [] });
    for (const { sender, turns, ofTurn } of told.values()) {
      for (const line of sender.ledger.read()) {
        const [what, a = '', b = '', c, d, e] = line.split(' ');
        if (what === 'grants') {
          granted.set(a, (granted.get(a) ?? 0) + Number(b));
          ofTurn.push([a, Number(b)]);
        } else if (what === 'open') uncounted.set(a, (uncounted.get(a) ?? 0) + Number(b));
        else if (what === 'failed') failures.push(line);
        else if (what === 'turn') {
          const [endMs, tookMs] = [Number(d), Number(e)];
          turns.push({ who: a, state: b, isDry: c === '1', endMs, tookMs });
          for (const [address, count] of ofTurn.splice(0))
            grants.push({ who: a, address, count, endMs, tookMs });
        }
      }
    }
  }
  const sumOfLimited = () => limited.reduce((sum, { address }) => sum + (granted.get(address) ?? 0), 0);

  async function until(what: string, isSo: () => boolean, withinMs: number): Promise<void> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      read();
      if (failures.length > 0) throw new Error(`${scenario.name}: a sender threw: ${failures[0]}`);
      if (isSo()) return;
      if (Date.now() > deadline) throw new Error(`${scenario.name}: not within ${withinMs} ms: ${what}`);
      await sleep(5);
    }
  }

  const job = JSON.stringify({ limited: limited.map(({ address }) => address), free: stage.free.ipAddress });
  const begun = new Set<SenderProcess>();
  const begin = (sender: SenderProcess) => {
    if (begun.has(sender)) return;
    begun.add(sender);
    sender.program.child.stdin!.write(`${job}\n`);
  };
  const operator = stage.operator.start();
  let struck: Struck;
  try {
    const capacity = limited.reduce((sum, { limit }) => sum + limit, 0);
    const part = STRIKES_FROM + (STRIKES_TO - STRIKES_FROM) * random();
    await until('the operator is under way', () => operator.acknowledgedAt.length > 3, DRY_WITHIN_MS);
    for (const sender of stage.senders) begin(sender);
    await until('so are the senders', () => sumOfLimited() >= part * capacity, DRY_WITHIN_MS);
    struck = await strike({ isSample, random });
    // Whoever takes the place of a sender that was killed does the same work.
    for (const sender of stage.senders) begin(sender);
  } catch (error) {
    await operator.stop();
    throw error;
  }

  const healsMs = await healing(stage, operator, struck.goneMs, () => {
    read();
    return stage.senders.map((sender) => told.get(sender)!.turns);
  });
  const isDry = (sender: SenderProcess) =>
    told.get(sender)!.turns.findLast(({ who }) => who === 'takes')?.isDry;
  await until('all limits are used up', () => stage.senders.every(isDry), DRY_WITHIN_MS);
  await operator.stop();
  for (const { program } of stage.senders) program.child.stdin!.write('stop\n');
  for (const { program } of stage.senders) await program.line();
  read();
  if (failures.length > 0) throw new Error(`${scenario.name}: a sender threw: ${failures[0]}`);
  // Where changes may be gone, so may be the IP that the next one is for.
  if (operator.refused.length > 0 && scenario.mayLose === 'nothing')
    throw new Error(`${scenario.name}: refused: ${operator.refused[0]}`);
  if (!scenario.kills && pidsOf(stage) !== pidsBefore)
    throw new Error(`${scenario.name}: a process of ours has ended, and none may`);
  if (Date.now() - startedMs > HOUR_MS / 2)
    throw new Error(`${scenario.name}: the round took so long that an hour of its IPs may have ended`);

  const lost = await operator.examine();
  const lostTooEarly = lost.filter(
    ({ acknowledgedMs }) => acknowledgedMs < (struck.forgetsFromMs ?? Infinity),
  );
  const charged = new Map(await stage.charged([...limited, freeIp(stage)]));
  charged.set(stage.free.ipAddress, (charged.get(stage.free.ipAddress) ?? 0) - freeBefore);
  const openSends = uncounted.get(stage.free.ipAddress) ?? 0;
  const turns = [...told.values()].flatMap((one) => one.turns);
  return {
    ...balance({ limited, granted, uncounted, charged, forgettable: forgettable(grants, struck) }),
    acknowledged: operator.acknowledgedAt.length,
    changesLost: lost.map(({ sentence }) => sentence),
    lostTooEarly: lostTooEarly.map(({ sentence }) => sentence),
    faultMs: struck.goneMs - struck.begunMs,
    silentMs: { takes: silence(told, 'takes', struck), leases: silence(told, 'leases', struck) },
    unreachable: turns.filter(({ who, state }) => who === 'takes' && state === 'unreachable').length,
    longestTurnMs: Math.max(0, ...turns.filter(({ who }) => who === 'takes').map(({ tookMs }) => tookMs)),
    openSends,
    healsMs,
    note: struck.note ?? '',
  };
}

/** What each IP granted while Redis may have forgotten it. Leases are spent a moment after they are drawn. */
function forgettable(grants: readonly Grants[], { forgetsFromMs, goneMs }: Struck): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { who, address, count, endMs, tookMs } of grants) {
    const untilMs = goneMs + (who === 'leases' ? LEASE_MS : 0);
    if (forgetsFromMs === undefined || endMs < forgetsFromMs || endMs - tookMs > untilMs) continue;
    sums.set(address, (sums.get(address) ?? 0) + count);
  }
  return sums;
}

const freeIp = ({ free }: Stage) => ({ id: free.id, address: free.ipAddress });
const pidsOf = ({ senders, workers }: Stage) =>
  [...senders, ...workers]
    .map(({ program }) => (program.child.exitCode === null ? program.pid : 'ended'))
    .join();

async function freshIps(stage: Stage, isSample: boolean, round: number): Promise<LimitedIp[]> {
  const kinds = (isSample ? SMALL : LARGE).flatMap(
    (kind) => Array(OF_EACH_KIND).fill(kind) as (typeof kind)[],
  );
  const addresses = kinds.map((_, index) => `10.10.${round}.${index + 1}`);
  const brought = await stage.bring('provisioning', addresses);
  const limited: LimitedIp[] = [];
  for (const [index, { id, ipAddress: address }] of brought.entries()) {
    const { kind, plan, startDay, limit } = kinds[index]!;
    const { body } = await stage.api('POST', `/v1/dedicated-ips/${id}/warmup`, { plan, startDay });
    const warmup = body.warmup as { currentDailyLimit: number; currentHourlyLimit: number };
    const shown = kind === 'hourly' ? warmup.currentHourlyLimit : warmup.currentDailyLimit;
    if (shown !== limit) throw new Error(`${plan} on day ${startDay} allows ${shown}, and not ${limit}`);
    limited.push({ id, address, limit, kind });
  }
  return limited;
}

/** The longest time around the fault in which some sender was granted nothing, although one IP has no limit. */
function silence(told: ReadonlyMap<SenderProcess, Told>, who: string, { begunMs }: Struck): number {
  let longest = 0;
  for (const { turns } of told.values()) {
    const grants = turns.filter((turn) => turn.who === who && turn.state === 'granted');
    const before = grants.findLast(({ endMs }) => endMs <= begunMs);
    for (const [index, { endMs }] of grants.entries()) {
      const previous = grants[index - 1];
      if (previous && endMs > begunMs && previous.endMs >= (before?.endMs ?? 0))
        longest = Math.max(longest, endMs - previous.endMs);
    }
  }
  return longest;
}

async function healing(
  stage: Stage,
  operator: Operator,
  goneMs: number,
  turnsOfEach: () => Turn[][],
): Promise<Round['healsMs']> {
  const deadline = goneMs + HEALS_WITHIN_MS;
  const ticksBefore = new Map<WorkerProcess, number>();
  let [senders, api, workers] = [-1, -1, -1];
  while (senders < 0 || api < 0 || workers < 0) {
    if (senders < 0) {
      const firsts = turnsOfEach().flatMap((turns) =>
        ['takes', 'leases', 'open'].map(
          (who) =>
            turns.find((turn) => turn.who === who && turn.state === 'granted' && turn.endMs >= goneMs)?.endMs,
        ),
      );
      if (firsts.every((at) => at !== undefined)) senders = Math.max(...(firsts as number[])) - goneMs;
    }
    const acknowledgedMs = operator.acknowledgedAt.find((at) => at >= goneMs);
    if (api < 0 && acknowledgedMs !== undefined) api = acknowledgedMs - goneMs;
    if (workers < 0) {
      // Of several workers BullMQ gives a tick to the one that is free.
      for (const worker of stage.workers) {
        const ticks = await ticksOf(worker);
        const before = ticksBefore.get(worker);
        if (before === undefined && ticks !== null) ticksBefore.set(worker, ticks);
        if (before !== undefined && ticks !== null && ticks > before) workers = Date.now() - goneMs;
      }
    }
    if (Date.now() > deadline) {
      const open = Object.entries({ senders, api, workers }).flatMap(([who, ms]) => (ms < 0 ? [who] : []));
      throw new Error(`${open.join(', ')} did not go on by themselves within ${HEALS_WITHIN_MS} ms`);
    }
    await sleep(10);
  }
  return { senders, api, workers };
}
