/** What one step of a history asks of a process: the real use cases and the real sender, as an API, a worker and a program that sends call them. */
import * as inventory from '../../src/fleet/inventory.ts';
import * as ips from '../../src/fleet/ips.ts';
import * as pools from '../../src/fleet/pools.ts';
import { lookAtAllAgain, tickUntilDone } from '../../src/fleet/tick.ts';
import type { TakeAnswer } from '../../src/redis/answer.ts';
import { type Books, Broken } from './books.ts';
import type { Kind, Step } from './history.ts';
import type { ModelIp } from './model/ip.ts';
import { type OpenLease, PLANS, type Program, rowsOf, type World, ZONES } from './world.ts';

/** What an operation needs besides the step itself. */
export type Scene = {
  readonly world: World;
  readonly step: Step;
  readonly program: Program;
  readonly books: Books;
  readonly nowMs: number;
  /** Who acts: no other operation has this name. */
  readonly by: string;
  /** Receipts that were told and not given back. */
  readonly receipts: string[];
};

const at = <T>(list: readonly T[], index: number): T | undefined =>
  list.length === 0 ? undefined : list[index % list.length];
/** Also one that is released, now and then: it must give nothing. */
const someIp = ({ books, step }: Scene): ModelIp | undefined =>
  at(step.other % 20 === 0 ? [...books.ips.values()] : books.living(), step.which);
const poolIds = (books: Books, world: World) => world.pools.get(books.account.id)!;
const somePool = ({ books, world, step }: Scene) => at(poolIds(books, world), step.which);

function told({ program, receipts }: Scene, answer: TakeAnswer): void {
  for (const { receipt, count } of answer.granted) {
    program.told += count;
    receipts.push(receipt);
  }
}

type Operation = (scene: Scene) => Promise<unknown> | undefined;

const start: Operation = (scene) => {
  const { program, books, by, step } = scene;
  const ip = someIp(scene);
  if (!ip) return undefined;
  const plan = PLANS[step.other % PLANS.length]!;
  const rows = rowsOf(plan);
  const request = {
    plan,
    zone: ZONES[(step.other >> 3) % ZONES.length]!,
    burst: step.flag ? 1 + (step.count % 9) : null,
    dayStartsAt: ['start', 'start', '04:00', '02:30'][(step.other >> 6) % 4]!,
    startDay: step.which % 7 === 0 ? 1 + (step.count % rows.length) : 1,
  };
  const { zone, burst, dayStartsAt, startDay } = request;
  books.starts.set(by, { rows, zone, burst, dayStartsAt, startDay });
  return ips.startWarmup(program.tenant(books, by), ip.id, request);
};

const holdOf = ({ step, nowMs }: Scene) => ({
  sending: step.count % 3 !== 0,
  advance: step.flag || step.count % 3 === 0,
  because: 'a trial',
  untilMs: step.other % 2 === 0 ? null : nowMs + step.ms,
});

const onIp =
  (act: (scene: Scene, id: string) => Promise<unknown>): Operation =>
  (scene) => {
    const ip = someIp(scene);
    return ip && act(scene, ip.id);
  };
const onPool =
  (act: (scene: Scene, id: string) => Promise<unknown>): Operation =>
  (scene) => {
    const pool = somePool(scene);
    return pool === undefined ? undefined : act(scene, pool);
  };
const tenantOf = ({ program, books, by }: Scene) => program.tenant(books, by);

const take: Operation = async (scene) => {
  const { program, books, step } = scene;
  const ip = someIp(scene);
  if (!ip) return;
  const named = { ip: step.other % 3 === 0 ? ip.id : ip.address, count: step.count, partial: step.flag };
  if (step.other % 7 === 0) return program.limiter(books).peek(named);
  const answer = await program.limiter(books).take(named);
  told(scene, answer);
};

const takePool: Operation = async (scene) => {
  const { program, books, step } = scene;
  const pool = step.other % 3 === 0 ? undefined : somePool(scene);
  const among =
    step.other % 11 === 0
      ? books
          .living()
          .slice(0, 5)
          .map(({ id }) => id)
      : undefined;
  const request = {
    count: step.count,
    partial: step.flag,
    ...(pool === undefined ? {} : { pool }),
    ...(among && among.length > 0 ? { among } : {}),
    ...(step.other % 13 === 0 ? { family: (step.count % 2 === 0 ? 4 : 6) as 4 | 6 } : {}),
  };
  const answer = await program.limiter(books).take(request);
  told(scene, answer);
};

const takeMany: Operation = async (scene) => {
  const { program, books, step } = scene;
  const pool = somePool(scene);
  const requests = Array.from({ length: 2 + (step.count % 12) }, (_, index) => {
    const ip = at(books.living(), step.which + (index % 4));
    return index % 3 === 0 || !ip
      ? { count: 1 + (index % 2), ...(pool === undefined ? {} : { pool }) }
      : { ip: ip.address, count: 1 + ((step.count + index) % 5), partial: index % 2 === 0 };
  });
  for (const outcome of await program.limiter(books).takeAll(requests)) {
    if (!(outcome instanceof Error)) told(scene, outcome);
    else if (outcome.name !== 'WarmlineError' && outcome.message !== 'Connection is closed.') throw outcome;
  }
};

const refund: Operation = async (scene) => {
  const { program, books, step, receipts } = scene;
  const own = receipts.filter((receipt) => books.ips.has(receipt.slice(0, receipt.indexOf('.'))));
  // The newest most often; now and then one that was given back already.
  const receipt = at(own.slice(-20), step.which);
  if (receipt === undefined) return;
  const repeated = step.other % 4 === 0 ? [{ receipt }] : [];
  await program.limiter(books).refund([{ receipt }, ...repeated]);
};

const openLease: Operation = async (scene) => {
  const { program, books, step } = scene;
  if (program.leases.length >= 4) return;
  const ip = at(books.living(), step.which);
  const pool = somePool(scene);
  const target =
    step.other % 3 === 0 && ip
      ? { ip: ip.address }
      : step.other % 3 === 1 && pool !== undefined
        ? { pool }
        : {};
  program.lease(books, target, step.flag ? 'turn' : 'call');
};

/** Sends from what is held, as long as there is some: at most for a second, in its hour, and at most a second after a stop. */
const spend: Operation = async (scene) => {
  const { program, step, world, nowMs } = scene;
  const open = at(program.leases, step.which);
  if (!open) return;
  for (let sends = 0; sends < step.count; sends += 1) {
    let ip: ReturnType<OpenLease['lease']['tryTake']>;
    try {
      ip = open.lease.tryTake(step.flag ? 2 : 1);
    } catch (error) {
      if ((error as Error).name === 'WarmlineError') return;
      throw error;
    }
    if (!ip) return;
    open.out.push({ ip, count: step.flag ? 2 : 1 });
    world.spent(open.books, ip, nowMs);
  }
};

const giveBack: Operation = async ({ program, step }) => {
  const open = at(program.leases, step.which);
  const sent = open?.out.pop();
  if (open && sent) open.lease.giveBack(sent.ip, sent.count);
};

const closeLease: Operation = async ({ program, step }) => {
  const [open] = program.leases.splice(step.which % Math.max(1, program.leases.length), 1);
  if (!open) return;
  program.closedLeases += open.lease.stats.granted;
  const before = open.lease.stats.granted;
  await open.lease.close();
  program.closedLeases += open.lease.stats.granted - before;
};

/** What a worker does when a job comes. Each finds by itself that the clock went back; one that has just begun does not know. */
export async function work(world: World, program: Program): Promise<void> {
  const { engine } = program;
  if (program.knownSteps < world.stepsBack) {
    program.knownSteps = world.stepsBack;
    await lookAtAllAgain(engine);
  }
  const { failed } = await tickUntilDone(engine);
  for (const { ip, error } of failed) {
    // Its connection broke: the IP is still due.
    if ((error as Error).message === 'Connection is closed.') continue;
    throw new Broken('nothing fails', `${ip} could not be advanced: ${(error as Error).stack}`);
  }
}

export const OPERATIONS: Partial<Record<Kind, { by: 'api' | 'worker' | 'sender'; do: Operation }>> = {
  create: { by: 'api', do: (scene) => inventory.createIp(tenantOf(scene)) },
  bring: {
    by: 'api',
    do: (scene) => {
      const address =
        scene.step.other % 9 === 0
          ? `2001:db8:1::${scene.step.which.toString(16)}`
          : `10.2.${scene.step.which >> 8}.${scene.step.which & 255}`;
      return inventory.bringIps(tenantOf(scene), {
        addresses: [address],
        status: scene.step.flag ? 'active' : 'provisioning',
      });
    },
  },
  start: { by: 'api', do: start },
  end: { by: 'api', do: onIp((scene, id) => ips.endWarmup(tenantOf(scene), id)) },
  hold: { by: 'api', do: onIp((scene, id) => ips.holdIp(tenantOf(scene), id, holdOf(scene))) },
  resume: { by: 'api', do: onIp((scene, id) => ips.resumeIp(tenantOf(scene), id)) },
  holdPool: { by: 'api', do: onPool((scene, id) => pools.holdPool(tenantOf(scene), id, holdOf(scene))) },
  resumePool: { by: 'api', do: onPool((scene, id) => pools.resumePool(tenantOf(scene), id)) },
  release: { by: 'api', do: onIp((scene, id) => ips.releaseIp(tenantOf(scene), id)) },
  restore: {
    by: 'api',
    do: (scene) => {
      const resting = at(
        scene.books.living().filter(({ status }) => status === 'cooldown'),
        scene.step.which,
      );
      return resting && ips.restoreIp(tenantOf(scene), resting.id);
    },
  },
  ceiling: {
    by: 'api',
    do: onIp((scene, id) => {
      const { step } = scene;
      const ceiling =
        step.other % 3 === 0
          ? { perDay: null, perHour: null }
          : { perDay: 10 + step.count, ...(step.flag ? { perHour: 5 } : {}) };
      return ips.setCeiling(tenantOf(scene), id, ceiling);
    }),
  },
  makePool: {
    by: 'api',
    do: async (scene) => {
      const { step, world, books, by } = scene;
      if (poolIds(books, world).length >= 4) return;
      const isLimited = step.other % 4 === 0;
      const limits = isLimited
        ? step.flag
          ? { warmingShare: 0.5 }
          : { ceiling: { perDay: 40, perHour: 10 } }
        : {};
      const pool = await pools.createPool(tenantOf(scene), {
        name: `pool of ${by}`,
        isDefault: step.other % 5 === 0,
        ...limits,
      });
      poolIds(books, world).push(pool.id);
      if (isLimited) world.limitedPools.add(pool.id);
    },
  },
  join: {
    by: 'api',
    do: (scene) => {
      const [pool, ip] = [at(poolIds(scene.books, scene.world), scene.step.other), someIp(scene)];
      return pool !== undefined && ip ? pools.addIpToPool(tenantOf(scene), pool, ip.id) : undefined;
    },
  },
  leave: {
    by: 'api',
    do: (scene) => {
      const [pool, ip] = [at(poolIds(scene.books, scene.world), scene.step.other), someIp(scene)];
      return pool !== undefined && ip ? pools.removeIpFromPool(tenantOf(scene), pool, ip.id) : undefined;
    },
  },
  dropPool: {
    by: 'api',
    do: async (scene) => {
      const pool = somePool(scene);
      if (pool === undefined) return;
      await pools.deletePool(tenantOf(scene), pool);
      const left = poolIds(scene.books, scene.world);
      if (left.includes(pool)) left.splice(left.indexOf(pool), 1);
    },
  },
  defaultPool: {
    by: 'api',
    do: onPool((scene, id) => pools.setDefaultPool(tenantOf(scene), id, scene.step.flag)),
  },
  take: { by: 'sender', do: take },
  takePool: { by: 'sender', do: takePool },
  takeMany: { by: 'sender', do: takeMany },
  refund: { by: 'sender', do: refund },
  lease: { by: 'sender', do: openLease },
  spend: { by: 'sender', do: spend },
  giveBack: { by: 'sender', do: giveBack },
  closeLease: { by: 'sender', do: closeLease },
  tick: { by: 'worker', do: ({ world, program }) => work(world, program) },
  // Allocations that seem to have lost their process, also those that are under way.
  sweep: {
    by: 'worker',
    do: ({ program }) => inventory.sweepAllocations(program.engine, -Number.MAX_SAFE_INTEGER),
  },
};
