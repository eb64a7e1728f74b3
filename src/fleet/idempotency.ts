/**
 * Requests that may be repeated: a client that lost the answer asks again with the same Idempotency-Key and gets it, and
 * nothing is done twice, whoever crashed wherever in between.
 *
 * Before anything is done, the request is written down with a seed. All ids that it makes (of IPs, pools, accounts,
 * allocations) are derived from that seed, so that a repetition makes the same ones and finds what is there already; what
 * changes without a new id leaves a mark, written by the very script that makes the change. The answer is written when it
 * is known. If the process dies before, the repetition finds ids and marks, does what is left, and answers with what is
 * there. Even two that run at once (one was held up, the other took over) can therefore do nothing twice.
 *
 * All of this is on real time, because it is about retries over a network, and gone after 24 hours.
 */
import { createHash, randomBytes } from 'node:crypto';
import { accountKeys } from '../redis/keys.ts';
import type { Item } from '../redis/transact.ts';
import type { IdKind, Tenant } from './engine.ts';

/** So long an answer is given again. Payment APIs keep theirs for a day. */
const REMEMBERED_MS = 24 * 3_600_000;
/** The marks outlive the request that they belong to. */
const MARKED_MS = REMEMBERED_MS + 3_600_000;
/** Who has not answered by then is taken for dead, and a repetition takes over. Nothing is done twice if that is wrong. */
const TAKEN_OVER_AFTER_MS = 5_000;
/** A longer answer is not kept: a repetition makes it anew from what is there. */
const LONGEST_ANSWER = 64 * 1024;

export type StoredAnswer = { status: number; type: string; body: string };

export type BegunRequest = {
  /** The same tenant, on an engine whose ids a repetition makes again, with the marks of what is done. */
  repeatable(tenant: Tenant): Tenant;
  /** To be told when it was answered. An answer that is no success is not kept. */
  end(answer: StoredAnswer): Promise<void>;
};

export type Begun =
  | { outcome: 'begun'; request: BegunRequest }
  | { outcome: 'other' }
  | { outcome: 'running'; retryAfterMs: number }
  | { outcome: 'answered'; answer: StoredAnswer };

/**
 * @param route what is asked for, without the names in it: the same key on another route is another request
 * @param key the Idempotency-Key
 * @param asked all that decides what is done: the path, the query and the body
 */
export async function beginRequest(
  tenant: Tenant,
  { route, key, asked }: { route: string; key: string; asked: string },
): Promise<Begun> {
  const { engine, account } = tenant;
  const name = digest(`${route}\n${key}`);
  const record = accountKeys(account).request(name);
  const owner = randomBytes(12).toString('hex');
  const [outcome, ...rest] = (await engine.scripts.run('request-begin', [
    record,
    digest(asked),
    randomBytes(16).toString('hex'),
    owner,
    TAKEN_OVER_AFTER_MS,
    REMEMBERED_MS,
  ])) as [string, ...string[]];
  if (outcome === 'other') return { outcome };
  if (outcome === 'running') return { outcome, retryAfterMs: Number(rest[0]) };
  if (outcome === 'answered') {
    const [status, type, body] = rest as [string, string, string];
    return { outcome, answer: { status: Number(status), type, body } };
  }

  const seed = rest[0]!;
  const ids = idsFrom(seed);
  // By the seed and not by the key, which is another request's once this one is forgotten.
  const steps = stepsOf(seed);
  return {
    outcome: 'begun',
    request: {
      repeatable: (given) => ({
        ...given,
        engine: { ...given.engine, newId: ids, repeats: true },
        once: { step: (what) => steps.next(given, what) },
      }),
      async end({ status, type, body }) {
        const succeeded = status >= 200 && status < 300;
        // A refusal has done nothing, unless something was done before it; of a failure nobody knows.
        const nothingDone = status < 500 && !succeeded && !steps.taken();
        const how =
          succeeded && Buffer.byteLength(body) <= LONGEST_ANSWER
            ? 'answered'
            : nothingDone
              ? 'forget'
              : 'open';
        const answer = how === 'answered' ? [status, type, body] : [];
        await engine.scripts.run('request-end', [record, owner, how, ...answer]);
      },
    },
  };
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex');

/** 128 bits of a hash over the seed: as unlikely to meet another id as a random one. */
function idsFrom(seed: string): (kind: IdKind) => string {
  const next = counting();
  return (kind) => {
    const hash = digest(`${seed}\n${kind}\n${next(kind)}`).slice(0, 32);
    return `${kind}_${BigInt(`0x${hash}`).toString(36)}`;
  };
}

/** How often something was asked for before. */
function counting(): (what: string) => number {
  const counts = new Map<string, number>();
  return (what) => {
    const count = counts.get(what) ?? 0;
    counts.set(what, count + 1);
    return count;
  };
}

/** What changes without a new id: one change of one record, once. */
export type Step = {
  /** What it left when it was done, `null` if it was not. */
  done(): Promise<readonly string[] | null>;
  /** Part of the item that makes the change: refused if it was made already, and remembered with these ids. */
  mark(ids?: readonly string[]): Pick<Item, 'check' | 'run'>;
};

export type Once = { step(what: string): Step };

function stepsOf(seed: string) {
  const nth = counting();
  let taken = false;
  return {
    /** Has any change been made by this or an earlier attempt, as far as was seen? */
    taken: () => taken,
    next({ engine, keys }: Tenant, what: string): Step {
      const key = keys.requestStep(seed, `${what}:${nth(what)}`);
      return {
        async done() {
          const raw = await engine.scripts.redis.get(key);
          if (!raw) return null;
          taken = true;
          return (JSON.parse(raw) as { ids: string[] }).ids;
        },
        mark(ids = []) {
          taken = true;
          return {
            check: [[key, 0]],
            run: [['SET', key, JSON.stringify({ rev: 1, ids }), 'PX', MARKED_MS]],
          };
        },
      };
    },
  };
}
