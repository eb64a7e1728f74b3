/** Runs one history and says which promise it broke, if it broke one. */
import type { Redis } from 'ioredis';
import { sweepAllocations } from '../../src/fleet/inventory.ts';
import { auditAtRest } from './at-rest.ts';
import { type Books, Broken } from './books.ts';
import type { Step } from './history.ts';
import { OPERATIONS, type Scene, work } from './operations.ts';
import { randomOf } from './random.ts';
import { takeOverChance, takeOverTime } from './time.ts';
import { type Program, World } from './world.ts';

export type Outcome = {
  broken: { promise: string; message: string; step: number } | null;
  commands: number;
  sums: Record<string, number>;
};

type Running = { program: Program; cuts: number; done: boolean; what: string };

const SENDERS = [4, 5, 6];
const PLACES = { api: [0, 1], worker: [2, 3], sender: SENDERS } as const;
/** Sleeps between attempts are at most 50 ms. */
const NAP_MS = 60;
const MOST_NAPS = 2_000;

export async function runHistory(
  redis: Redis,
  seed: number,
  addresses: number,
  steps: readonly Step[],
): Promise<Outcome> {
  const time = takeOverTime(Date.UTC(2026, 0, 1));
  const chance = takeOverChance(seed);
  let world: World | null = null;
  let at = -1;
  const outcome = (broken: Outcome['broken']): Outcome => {
    const sums: Record<string, number> = {};
    for (const books of world?.books ?? []) {
      for (const [name, sum] of Object.entries(books.sums)) sums[name] = (sums[name] ?? 0) + sum;
      sums.ips = (sums.ips ?? 0) + books.ips.size;
    }
    return { broken, commands: world?.gate.executed ?? 0, sums };
  };
  try {
    world = await World.open(redis, time, seed, addresses);
    const run = new Run(world);
    for (const step of steps) {
      at += 1;
      await run.step(step);
    }
    return outcome(null);
  } catch (error) {
    if (error instanceof Broken) return outcome({ promise: error.promise, message: error.message, step: at });
    return outcome({ promise: 'nothing fails', message: (error as Error).stack ?? String(error), step: at });
  } finally {
    chance.stop();
    time.stop();
  }
}

class Run {
  readonly #world: World;
  readonly #running = new Set<Running>();
  readonly #receipts: string[] = [];
  #operations = 0;
  #stepsAtRest = 0;
  #failure: unknown = null;

  constructor(world: World) {
    this.#world = world;
  }

  async step(step: Step): Promise<void> {
    const world = this.#world;
    const books = world.books[step.other % 8 === 0 ? 1 : 0]!;
    switch (step.kind) {
      case 'pass':
        await world.pass(step.ms);
        break;
      case 'edge':
        await this.#passToEdge(step, books);
        break;
      case 'clockStep':
        await world.step(step.ms);
        break;
      case 'kill': {
        const place = step.which % world.programs.length;
        const { process } = world.programs[place]!;
        for (const one of this.#running) if (one.program.process === process) this.#running.delete(one);
        await world.replace(place, step.count % (process.pending.length + 1));
        break;
      }
      case 'calm':
        await this.#calm(step);
        break;
      case 'patience':
        await this.#patience(step, books);
        break;
      case 'late':
        await this.#calm(step);
        await world.pass(step.ms);
        break;
      default:
        await this.#begin(step, books);
    }
    await this.#letThrough(step);
    if (this.#failure) throw this.#failure;
  }

  async #begin(step: Step, books: Books): Promise<void> {
    const world = this.#world;
    const operation = OPERATIONS[step.kind]!;
    const places = PLACES[operation.by];
    const program = world.programs[places[step.seed % places.length]!]!;
    this.#operations += 1;
    const scene: Scene = {
      world,
      step,
      program,
      books,
      nowMs: world.nowMs,
      by: operation.by === 'worker' ? 'engine' : `operation-${this.#operations}`,
      receipts: this.#receipts,
    };
    let begun: ReturnType<typeof operation.do>;
    const one: Running = { program, cuts: program.process.cuts, done: false, what: step.kind };
    try {
      begun = operation.do(scene);
    } catch (error) {
      this.#judge(error, one);
      return;
    }
    if (!begun) return;
    this.#running.add(one);
    begun.then(
      () => this.#end(one),
      (error) => {
        this.#end(one);
        this.#judge(error, one);
      },
    );
    await world.time.settled();
  }

  #end(one: Running): void {
    one.done = true;
    this.#running.delete(one);
  }

  /** A refusal is an answer, and a broken connection is told; nothing else may go wrong. */
  #judge(error: unknown, { program, cuts, what }: Running): void {
    if (!(error instanceof Error) || error.name === 'WarmlineError') return;
    if (error.message === 'Connection is closed.' && program.process.cuts > cuts) return;
    this.#failure ??=
      error instanceof Broken ? error : new Broken('nothing fails', `${what}: ${error.stack}`);
  }

  /** Some commands go through, in an order that the step's own seed says; now and then a connection breaks. */
  async #letThrough({ seed, commands }: Step): Promise<void> {
    const random = randomOf(seed);
    const { gate } = this.#world;
    for (let left = commands; left > 0 && !this.#failure; left -= 1) {
      const waiting = gate.waiting();
      if (waiting.length === 0) break;
      const process = random.pick(waiting);
      if (random.int(1, 400) === 1) await gate.cut(process, random.int(0, process.pending.length));
      else await gate.step(process);
    }
  }

  /** Everything that is under way comes to its end, and nothing breaks meanwhile. */
  async #drain(seed: number): Promise<void> {
    const random = randomOf(seed);
    const { gate } = this.#world;
    for (let naps = 0; ; ) {
      const waiting = gate.waiting();
      if (waiting.length > 0) await gate.step(random.pick(waiting));
      else if (this.#running.size === 0) break;
      else if (naps < MOST_NAPS) {
        naps += 1;
        await this.#world.pass(NAP_MS);
      } else {
        const [one] = this.#running;
        throw new Broken('nothing hangs', `${one!.what} does not end`);
      }
      if (this.#failure) throw this.#failure;
    }
  }

  /** All come to rest, the worker does what is due, and the books are compared with all that Redis has. */
  async #calm({ seed }: Step): Promise<void> {
    const world = this.#world;
    await this.#drain(seed);
    const worker = world.programs[2]!;
    // Whoever came after a step back has not heard of it, and at rest all should be as it is after a while.
    if (this.#stepsAtRest < world.stepsBack) worker.knownSteps = -1;
    this.#stepsAtRest = world.stepsBack;
    for (const task of [
      () => sweepAllocations(worker.engine, -Number.MAX_SAFE_INTEGER),
      // Twice: what the first one found contended or gave back.
      () => work(world, worker),
      () => work(world, worker),
    ]) {
      const one: Running = { program: worker, cuts: 0, done: false, what: 'the work at rest' };
      this.#running.add(one);
      task().then(
        () => this.#end(one),
        (error) => {
          this.#end(one);
          this.#judge(error, one);
        },
      );
      await this.#drain(seed);
    }
    await auditAtRest(world);
  }

  /** Whoever is told to wait waits just so long, and not a millisecond more. */
  async #patience(step: Step, books: Books): Promise<void> {
    const world = this.#world;
    await this.#calm(step);
    const living = books.choosable();
    const ip = living[step.which % Math.max(1, living.length)];
    if (!ip || ip.count.atMs > world.nowMs) return;
    const limiter = world.programs[4]!.limiter(books);
    const peek = async () => {
      const asked = limiter.peek({ ip: ip.address, count: step.count });
      await world.time.settled();
      await this.#drain(step.seed);
      return asked;
    };
    const { allowed, retryAfterMs } = await peek();
    if (allowed || retryAfterMs === null) return;
    const { credited } = books.sums;
    if (retryAfterMs > 1) {
      await world.pass(retryAfterMs - 1);
      const isEarly = (await peek()).allowed;
      // What a lease gave back meanwhile was room that nobody could foresee.
      if (books.sums.credited !== credited) return;
      if (isEarly)
        throw new Broken(
          'explains itself',
          `${ip.address} had room for ${step.count} before the ${retryAfterMs} ms it said`,
        );
      await world.pass(1);
    } else {
      await world.pass(retryAfterMs);
    }
    if (!(await peek()).allowed)
      throw new Broken(
        'explains itself',
        `${ip.address} had no room for ${step.count} after the ${retryAfterMs} ms it said`,
      );
  }

  async #passToEdge({ which, ms, flag }: Step, books: Books): Promise<void> {
    const world = this.#world;
    const nowMs = world.nowMs;
    const living = books.living();
    const ip = living[which % Math.max(1, living.length)];
    if (!ip) return;
    const fromMs = ip.published ? ip.look(nowMs).day.fromMs : nowMs;
    const hourMs = fromMs + Math.ceil((nowMs + 1 - fromMs) / 3_600_000) * 3_600_000;
    const edgeMs = flag ? ip.days.edge(ip.days.dayAt(nowMs) + 1) : hourMs;
    await world.pass(Math.max(0, edgeMs + ms - nowMs));
  }
}
