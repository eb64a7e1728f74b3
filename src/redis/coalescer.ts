/**
 * Many takes, one script call. All takes of one turn of the event loop that name an IP or a pool go out together, a lone one
 * by itself, and a few calls are in flight at a time so that Redis and this process work side by side. Nobody waits for
 * company: a call leaves at the end of the turn. Each caller is answered as if it had come alone, in the order in which they came.
 */
import { answerOf, grantOf, ReplyReader, readAnswer, type TakeAnswer, type Verdict } from './answer.ts';
import { type Demand, Tally } from './demand.ts';
import type { AccountKeys } from './keys.ts';
import type { Scripts } from './scripts.ts';

/** While Redis works on some, the next are put together here. Two already keep both busy; with four it gave 4 % more. */
const MOST_IN_FLIGHT = 4;
/** So many IPs or pools in one call: about half a millisecond of Redis, which no other client notices. */
const MOST_LINES = 128;
/** So many callers of one IP or pool in one call. */
const MOST_IN_LINE = 1_000;

/** What a caller is told when its take could not be made; throws what it is to be rejected with. */
export type Recover<Request> = (request: Request, error: unknown) => TakeAnswer | Promise<TakeAnswer>;

type Waiter<Request> = {
  readonly request: Request;
  readonly count: number;
  readonly partial: boolean;
  readonly resolve: Resolve;
  readonly reject: Reject;
};

/** Takes that one entry of a call can carry: from an IP, or of one size from a pool. */
type Line<Request> = {
  waiters: Waiter<Request>[];
  /** What is wanted of it, for people. */
  readonly tally: Tally;
  /** Of an IP: its hot record, and the call that last named it. An address and an id may mean the same record. */
  readonly hot?: { readonly key: string; inCall: number };
  /** Of an IP that was named by its id. */
  readonly id?: string;
  readonly pool?: { readonly name: string; readonly family: string; readonly count: number };
};

type Resolve = (answer: TakeAnswer | Promise<TakeAnswer>) => void;
type Reject = (error: Error) => void;

/** Callbacks and no promises: of a hundred takes that come in one request each would cost a third more. */
export type Coalescer<Request> = {
  takeFromIp(
    address: string,
    id: string | undefined,
    count: number,
    request: Request,
    resolve: Resolve,
    reject: Reject,
  ): void;
  takeFromPool(
    name: string,
    family: string,
    count: number,
    request: Request,
    resolve: Resolve,
    reject: Reject,
  ): void;
};

type Options<Request> = {
  /** What to do about an IP for which nothing is published, or about a pool that does not exist. */
  unknown: (request: Request) => TakeAnswer | Promise<TakeAnswer>;
  /** Counts what is wanted and granted, a few additions for each line of a call. */
  demand: Pick<Demand, 'note' | 'noteAnswer'>;
  recover: Recover<Request>;
  /** `false`: each take is a call of its own. */
  coalesce: boolean;
};

/** IPs and pools that are remembered between calls. */
const MOST_REMEMBERED = 100_000;

export function createCoalescer<Request extends { partial?: boolean | undefined }>(
  scripts: Scripts,
  keys: AccountKeys,
  { unknown, demand, recover, coalesce }: Options<Request>,
): Coalescer<Request> {
  const byAddress = new Map<string, Line<Request>>();
  const byId = new Map<string, Line<Request>>();
  const byPool = new Map<string, Line<Request>>();
  let queue: Line<Request>[] = [];
  let [scheduled, inFlight, calls] = [false, 0, 0];

  function ipLine(address: string, id: string | undefined): Line<Request> {
    const line = id === undefined ? byAddress.get(address) : byId.get(id);
    if (line) return line;
    if (byAddress.size >= MOST_REMEMBERED || byId.size >= MOST_REMEMBERED) forgetIps();
    let plain = byAddress.get(address);
    if (!plain) {
      plain = { waiters: [], tally: new Tally(`ip ${address}`), hot: { key: keys.hot(address), inCall: 0 } };
      byAddress.set(address, plain);
    }
    if (id === undefined) return plain;
    const named = { waiters: [], tally: plain.tally, hot: plain.hot!, id };
    byId.set(id, named);
    return named;
  }

  function poolLine(name: string, family: string, count: number): Line<Request> {
    const key = `${count} ${family} ${name}`;
    let line = byPool.get(key);
    if (!line) {
      if (byPool.size >= MOST_REMEMBERED) forgetPools();
      line = { waiters: [], tally: new Tally(`pool ${name}`), pool: { name, family, count } };
      byPool.set(key, line);
    }
    return line;
  }

  /**
   * An IP that is waited for stays, by its address and by its id: two lines that do not know that they mean the same record
   * would go in one call, and each would see what is left without the other.
   */
  function forgetIps(): void {
    const waitedFor = new Set(queue.map(({ hot }) => hot));
    for (const lines of [byAddress, byId]) {
      for (const [key, { hot }] of lines) if (!waitedFor.has(hot)) lines.delete(key);
    }
  }

  function forgetPools(): void {
    for (const [key, line] of byPool) if (line.waiters.length === 0) byPool.delete(key);
  }

  function join(line: Line<Request>, waiter: Waiter<Request>): void {
    if (!coalesce) {
      goAlone(line, waiter);
      return;
    }
    if (line.waiters.length === 0) queue.push(line);
    line.waiters.push(waiter);
    schedule();
  }

  function schedule(): void {
    if (scheduled || inFlight >= MOST_IN_FLIGHT) return;
    scheduled = true;
    process.nextTick(flush);
  }

  function flush(): void {
    scheduled = false;
    while (queue.length > 0 && inFlight < MOST_IN_FLIGHT) {
      calls += 1;
      const lines: Line<Request>[] = [];
      const later: Line<Request>[] = [];
      for (const line of queue) {
        if (lines.length >= MOST_LINES || (line.hot && line.hot.inCall === calls)) later.push(line);
        else {
          if (line.hot) line.hot.inCall = calls;
          lines.push(line);
        }
      }
      const waiters = lines.map((line) => line.waiters);
      for (const [index, line] of lines.entries()) {
        line.waiters = [];
        const all = waiters[index]!;
        if (all.length <= MOST_IN_LINE) continue;
        line.waiters = all.splice(MOST_IN_LINE);
        later.push(line);
      }
      queue = later;
      send(lines, waiters);
    }
  }

  function send(lines: Line<Request>[], waiters: Waiter<Request>[][]): void {
    inFlight += 1;
    if (lines.length === 1 && waiters[0]!.length === 1) goAlone(lines[0]!, waiters[0]![0]!, landed);
    else goTogether(lines, waiters);
  }

  function landed(): void {
    inFlight -= 1;
    if (queue.length > 0) schedule();
  }

  function goAlone(line: Line<Request>, waiter: Waiter<Request>, then: () => void = () => {}): void {
    const { count, partial, request } = waiter;
    const how = partial ? 'partial' : '';
    let reply: Promise<Buffer | null>;
    if (line.pool) {
      const { name, family } = line.pool;
      reply = scripts.runPacked('take-pool', [keys.account, keys.prefix, count, how, name, family]);
    } else {
      const more = line.id !== undefined ? [how, line.id] : partial ? [how] : [];
      reply = scripts.runPacked('take-ip', [line.hot!.key, count, ...more]);
    }
    reply.then(
      (packed) => {
        then();
        if (packed === null) {
          settle(waiter, () => unknown(request));
          return;
        }
        const answer = readAnswer(packed, count);
        demand.noteAnswer(line.tally, count, answer);
        waiter.resolve(answer);
      },
      (error) => {
        then();
        // Whether it was done is unknown, so it counts as spent. Nothing is asked again.
        settle(waiter, () => recover(request, error));
      },
    );
  }

  function goTogether(lines: Line<Request>[], waiters: Waiter<Request>[][]): void {
    const hotKeys: string[] = [];
    const asked: (string | number)[] = [];
    const pools: (string | number)[] = [];
    const ipLines: number[] = [];
    const poolLines: number[] = [];
    for (const [index, line] of lines.entries()) {
      const all = waiters[index]!;
      if (line.pool) {
        poolLines.push(index);
        pools.push(`${all.length}x${line.pool.count}`, line.pool.name, line.pool.family);
      } else {
        ipLines.push(index);
        hotKeys.push(line.hot!.key);
        asked.push(runsOf(all, line.id));
      }
    }
    // Most often one send of each.
    const same = asked.length > 0 && asked.every((one) => one === asked[0]) ? asked.slice(0, 1) : asked;
    const args = [keys.account, ...hotKeys, keys.prefix, hotKeys.length, same.length, ...same, ...pools];
    scripts
      .runPacked('take-many', args, 1 + hotKeys.length)
      .then((packed) => {
        const reader = new ReplyReader(packed!);
        const lengths = ipLines.map(() => reader.integer());
        for (const [at, index] of ipLines.entries())
          divideIp(reader, lengths[at]!, lines[index]!, waiters[index]!);
        for (const index of poolLines) dividePool(reader, lines[index]!, waiters[index]!);
        landed();
      })
      .catch((error) => {
        for (const waiter of waiters.flat()) settle(waiter, () => recover(waiter.request, error));
        landed();
      });
  }

  function divideIp(
    reader: ReplyReader,
    length: number,
    { tally }: Line<Request>,
    waiters: Waiter<Request>[],
  ): void {
    if (length > 0) {
      const sends = sumOf(waiters);
      demand.note(tally, waiters.length, sends, sends, null);
      divideWhole(reader.record(length, sends), waiters);
    } else if (reader.peek() === -1) {
      reader.double();
      for (const waiter of waiters) settle(waiter, () => unknown(waiter.request));
    } else {
      for (const run of eachRun(waiters)) {
        const verdict = reader.verdict();
        noteVerdict(tally, run.length, run.length * run[0]!.count, verdict);
        divideRun(verdict, run);
      }
    }
  }

  function dividePool(reader: ReplyReader, line: Line<Request>, waiters: Waiter<Request>[]): void {
    const answers = reader.double();
    if (answers === -1) {
      for (const waiter of waiters) settle(waiter, () => unknown(waiter.request));
      return;
    }
    let next = 0;
    for (let answer = 0; answer < answers; answer += 1) {
      const takes = reader.double();
      const length = reader.double();
      const sends = takes * line.pool!.count;
      const verdict = length > 0 ? reader.record(length, sends) : reader.answer(sends);
      noteVerdict(line.tally, takes, sends, verdict);
      const some = waiters.slice(next, next + takes);
      if (verdict.granted > 0 && line.pool!.count === 1) divideWhole(verdict, some);
      else for (const waiter of some) waiter.resolve(answerOf(verdict));
      next += takes;
    }
    // The index was too far behind for one call to set right: nobody was charged for these, and they ask again.
    const left = waiters.slice(next);
    if (left.length === 0) return;
    if (line.waiters.length === 0) queue.push(line);
    line.waiters.unshift(...left);
  }

  function noteVerdict(tally: Tally, takes: number, wanted: number, verdict: Verdict): void {
    const { granted, because, parts } = verdict;
    demand.note(tally, takes, wanted, granted, because, parts[0]?.ip.ipId ?? '');
  }

  return {
    takeFromIp(address, id, count, request, resolve, reject) {
      join(ipLine(address, id), { request, count, partial: request.partial === true, resolve, reject });
    },
    takeFromPool(name, family, count, request, resolve, reject) {
      join(poolLine(name, family, count), { request, count, partial: false, resolve, reject });
    },
  };
}

function settle<Request>(waiter: Waiter<Request>, answer: () => TakeAnswer | Promise<TakeAnswer>): void {
  try {
    waiter.resolve(answer());
  } catch (error) {
    waiter.reject(error as Error);
  }
}

function sumOf(waiters: readonly Waiter<unknown>[]): number {
  let sum = 0;
  for (const { count } of waiters) sum += count;
  return sum;
}

/** Callers that follow each other and ask for the same are one run. */
function* eachRun<Request>(waiters: Waiter<Request>[]): Generator<Waiter<Request>[]> {
  let from = 0;
  for (let at = 1; at <= waiters.length; at += 1) {
    const [first, waiter] = [waiters[from]!, waiters[at]];
    if (waiter && waiter.count === first.count && waiter.partial === first.partial) continue;
    yield waiters.slice(from, at);
    from = at;
  }
}

/** What an IP is asked, as `lua/take-many.lua` reads it: just a number when all want one send. */
function runsOf(waiters: Waiter<unknown>[], id: string | undefined): string | number {
  let plain = id === undefined;
  for (const { count, partial } of waiters) plain &&= count === 1 && !partial;
  if (plain) return waiters.length;
  const runs = Array.from(
    eachRun(waiters),
    (run) => `${run.length}x${run[0]!.count}${run[0]!.partial ? 'p' : ''}`,
  );
  return `${waiters.length} ${sumOf(waiters)} ${runs.join(',')}${id === undefined ? '' : ` ${id}`}`;
}

/** Everything was granted by one IP: each has a receipt of its own, and reads what was left after it. */
function divideWhole(verdict: Verdict, waiters: Waiter<unknown>[]): void {
  const { limit, resetAfterMs } = verdict;
  const part = verdict.parts[0]!;
  const { ip, ipId, hostname, bind } = part.ip;
  const head = part.ip.receiptHead(part.dayFromMs, part.hourFromMs);
  let { granted: later, remaining } = verdict;
  if (remaining !== -1) remaining += later;
  let seq = part.seq - waiters.length;
  for (const { count, resolve } of waiters) {
    seq += 1;
    later -= count;
    if (remaining !== -1) remaining -= count;
    resolve({
      allowed: true,
      granted: [{ ip, ipId, count, receipt: `${head}${count}.${seq}`, hostname, bind }],
      limit,
      remaining,
      retryAfterMs: 0,
      resetAfterMs,
      because: null,
    });
  }
}

/** One run of equal takes: whole ones from the first on, of a partial run the rest to the take after them. */
function divideRun(verdict: Verdict, waiters: Waiter<unknown>[]): void {
  const { granted, parts, limit } = verdict;
  const { count } = waiters[0]!;
  const whole = Math.floor(granted / count);
  const rest = granted - whole * count;
  const part = parts[0];
  const takes = whole + (rest > 0 ? 1 : 0);
  const denial = { ...verdict, granted: 0 };
  for (const [index, { resolve }] of waiters.entries()) {
    if (!part || index >= takes) {
      resolve(answerOf(denial));
      continue;
    }
    const sends = index < whole ? count : rest;
    const answer = answerOf(index < whole ? { ...denial, because: null, untilMs: null } : denial);
    const later = granted - (index < whole ? (index + 1) * count : granted);
    resolve({
      ...answer,
      allowed: true,
      granted: [grantOf(part, sends, part.seq - takes + 1 + index)],
      remaining: limit === -1 ? -1 : verdict.remaining + later,
      retryAfterMs: 0,
    });
  }
}
