/**
 * How things are measured here: everybody runs for a short slice, one after the other, round after round, and what counts is
 * the ratio inside a round. Whatever shook the machine then shook both sides of it.
 */

/** A figure over the rounds: the one in the middle, and the quartiles around it. */
export type Spread = { median: number; low: number; high: number };

/** What a slice gave. Latencies only where they were asked for; `granted` is the share of the calls that got something. */
export type Sample = {
  perSecond: number;
  p50Ms?: number;
  p99Ms?: number;
  granted?: number;
  /** How many calls there were, for what is reckoned for each of them. */
  calls?: number;
  /** CPU time of each call, in this process and in Redis: it moves less than rates when the machine is busy. */
  clientUs?: number;
  redisUs?: number;
};

export type Contender = { name: string; run: (forMs: number) => Promise<Sample> };

export type RoundOptions = {
  /** CPU time that Redis has used so far, in µs. */
  redisCpuUs?: () => Promise<number>;
  rounds: number;
  sliceMs: number;
  step: (done: number, total: number) => void;
};

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { median: at(0.5), low: at(0.25), high: at(0.75) };
}

export const median = (values: readonly number[]): number => spreadOf(values).median;

export const scaled = ({ median: middle, low, high }: Spread, by: number): Spread => ({
  median: middle * by,
  low: low * by,
  high: high * by,
});

/**
 * The order of a round: it begins with another one each time, and every second round goes backwards, so that nobody always
 * comes first or always comes after the same neighbour.
 */
export function orderOf<T>(all: readonly T[], round: number): T[] {
  const from = all.length === 0 ? 0 : (round * 2 + (round >> 1)) % all.length;
  const turned = [...all.slice(from), ...all.slice(0, from)];
  return round % 2 === 0 ? turned : turned.reverse();
}

/** Those of a group are compared with each other, so they run next to each other. */
export async function runRounds(
  groups: readonly (readonly Contender[])[],
  { rounds, sliceMs, step, redisCpuUs }: RoundOptions,
): Promise<Measured> {
  const samples = new Map<string, Sample[]>(groups.flat().map(({ name }) => [name, []]));
  const total = (rounds + 1) * samples.size;
  let done = 0;
  // Round -1 is for the compiler and the caches, and is thrown away.
  for (let round = -1; round < rounds; round += 1) {
    for (const group of orderOf(groups, Math.max(0, round))) {
      for (const { name, run } of orderOf(group, Math.max(0, round))) {
        const sample = await withCpu(() => run(sliceMs), redisCpuUs);
        if (round >= 0) samples.get(name)!.push(sample);
        done += 1;
        step(done, total);
      }
    }
  }
  return measured(samples);
}

async function withCpu(run: () => Promise<Sample>, redisCpuUs: RoundOptions['redisCpuUs']): Promise<Sample> {
  if (!redisCpuUs) return run();
  const [redisBefore, before] = [await redisCpuUs(), process.cpuUsage()];
  const sample = await run();
  const { user, system } = process.cpuUsage(before);
  const redisUs = (await redisCpuUs()) - redisBefore;
  if (!sample.calls) return sample;
  return { ...sample, clientUs: (user + system) / sample.calls, redisUs: redisUs / sample.calls };
}

export type Measured = ReturnType<typeof measured>;

function measured(samples: ReadonlyMap<string, readonly Sample[]>) {
  const of = (name: string): readonly Sample[] => {
    const found = samples.get(name);
    if (!found) throw new Error(`"${name}" was not measured`);
    return found;
  };
  return {
    names: [...samples.keys()],
    perSecond: (name: string) => spreadOf(of(name).map((sample) => sample.perSecond)),
    /** The median of the ratios of each round, not the ratio of the medians. */
    ratio: (name: string, to: string) =>
      spreadOf(of(name).map((sample, round) => sample.perSecond / of(to)[round]!.perSecond)),
    p50Ms: (name: string) => spreadOf(of(name).map((sample) => sample.p50Ms ?? Number.NaN)),
    p99Ms: (name: string) => spreadOf(of(name).map((sample) => sample.p99Ms ?? Number.NaN)),
    clientUs: (name: string) => spreadOf(of(name).map((sample) => sample.clientUs ?? Number.NaN)),
    redisUs: (name: string) => spreadOf(of(name).map((sample) => sample.redisUs ?? Number.NaN)),
    granted: (name: string) => spreadOf(of(name).map((sample) => sample.granted ?? Number.NaN)),
    p99OverP50: (name: string) => spreadOf(of(name).map(({ p50Ms = 0, p99Ms = 0 }) => p99Ms / p50Ms)),
  };
}

/** A clock costs more than many a thing that is measured with it, so it is read once in so many calls. */
const CALLS_PER_LOOK = 64;
const TAKES_PER_TURN = 4_096;
/** Whoever is refused so often waits for what is on its way, as a sender does, instead of asking on. */
const REFUSED_PER_TURN = 1_000;
const [WARM, WARM_PIECE_MS] = [0.98, 100];

/** `inFlight` callers, each awaiting one call after another. `turn` counts the calls of all of them. */
export async function closedLoop(
  call: (turn: number) => Promise<unknown>,
  inFlight: number,
  forMs: number,
): Promise<Sample> {
  const beganAt = performance.now();
  let running = true;
  let calls = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async (_, caller) => {
      for (let turn = caller; running; turn += inFlight) {
        await call(turn);
        calls += 1;
        if (calls % CALLS_PER_LOOK === 0) running = performance.now() - beganAt < forMs;
      }
    }),
  );
  return { perSecond: perSecond(calls, beganAt), calls };
}

/** As `closedLoop`, with two looks at the clock for each call: for latencies, and never for rates. */
export async function timedLoop(
  call: (turn: number) => Promise<unknown>,
  inFlight: number,
  forMs: number,
): Promise<Sample> {
  const beganAt = performance.now();
  const taken: number[] = [];
  await Promise.all(
    Array.from({ length: inFlight }, async (_, caller) => {
      for (let turn = caller, from = beganAt; from - beganAt < forMs; turn += inFlight) {
        from = performance.now();
        await call(turn);
        taken.push(performance.now() - from);
      }
    }),
  );
  return { perSecond: perSecond(taken.length, beganAt), calls: taken.length, ...percentiles(taken) };
}

export function percentiles(taken: readonly number[]): { p50Ms: number; p99Ms: number } {
  const sorted = Float64Array.from(taken).sort();
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

/**
 * For calls that answer at once. What was refused does not count; after some thousand the event loop has its turn. What has to
 * be warm to be itself (a lease, after seconds of rest) runs before it is measured until hardly anything is refused, and no
 * longer than `warmMs`.
 */
export async function tightLoop(take: (turn: number) => boolean, forMs: number, warmMs = 0): Promise<Sample> {
  let turn = 0;
  const run = async (ms: number) => {
    const [beganAt, cpuBefore, first] = [performance.now(), process.cpuUsage(), turn];
    let granted = 0;
    // At least once, as the other loops do: a process that was not given the processor for so long would have measured nothing.
    do {
      let refused = 0;
      for (const until = turn + TAKES_PER_TURN; turn < until && refused < REFUSED_PER_TURN; turn += 1) {
        if (take(turn)) granted += 1;
        else refused += 1;
      }
      await new Promise(setImmediate);
    } while (performance.now() - beganAt < ms);
    const { user, system } = process.cpuUsage(cpuBefore);
    return {
      perSecond: perSecond(granted, beganAt),
      granted: granted / (turn - first),
      clientUs: (user + system) / granted,
    };
  };
  const warmUntil = performance.now() + warmMs;
  while (performance.now() < warmUntil) if ((await run(WARM_PIECE_MS)).granted > WARM) break;
  return run(forMs);
}

const perSecond = (count: number, beganAt: number) => (count * 1000) / (performance.now() - beganAt);
