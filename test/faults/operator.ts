/**
 * Somebody who changes things over HTTP all the time, in a few lanes, one change after the other in each: creates, starts,
 * ceilings, holds, resumes, pools. What was acknowledged is written down before the next change is asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { changesLost, type Expected, type Facts, type Lost } from './books.ts';
import type { Ledger } from './ledger.ts';

export type Api = (
  method: string,
  path: string,
  body?: unknown,
) => Promise<{ status: number; body: Record<string, unknown> }>;

export interface Operator {
  /** When a change was acknowledged: ms, in their order. */
  readonly acknowledgedAt: readonly number[];
  /** Answers that are neither an acknowledgement nor "try again". */
  readonly refused: readonly string[];
  /** Ends with the changes that are under way. */
  stop(): Promise<void>;
  /**
   * Looks at every IP that was ever changed, in earlier rounds as well, and tells which changes are gone, and when each was
   * acknowledged.
   */
  examine(): Promise<{ sentence: string; acknowledgedMs: number }[]>;
}

const LANES = 3;
const CYCLES = 4;
const PAUSE_MS = 20;

/** Nearly as many as a pool may have, so that an account never needs as many pools as it may have. */
const IPS_PER_POOL = 95;

export function openOperator(api: Api, ledger: Ledger): { start(): Operator } {
  const expected = new Map<string, Expected>();
  /** When what an IP looks like was acknowledged last, by field. */
  const acknowledgedMs = new Map<string, Partial<Record<Lost['field'], number>>>();
  const poolOf = new Map<string, string>();
  let pools = 0;
  /** The pool that each lane fills, from one round to the next. */
  const filling = Array.from({ length: LANES }, () => ({ poolId: '', joined: IPS_PER_POOL }));

  function start(): Operator {
    const acknowledgedAt: number[] = [];
    const refused: string[] = [];
    let stopped = false;

    /** `null`: nobody knows whether it was done. */
    async function ask(method: string, path: string, body?: unknown) {
      const answer = await api(method, path, body).catch(() => null);
      if (answer && answer.status < 300) {
        await ledger.write([`acknowledged ${method} ${path} ${JSON.stringify(body ?? {})}`]);
        acknowledgedAt.push(Date.now());
        return answer.body;
      }
      if (answer && answer.status !== 503) refused.push(`${method} ${path}: ${JSON.stringify(answer.body)}`);
      await sleep(PAUSE_MS);
      return null;
    }

    /** @returns whether it was acknowledged; otherwise this IP is left alone */
    async function change<Field extends keyof Facts>(
      id: string,
      field: Field,
      value: Facts[Field],
      ...request: [method: string, path: string, body?: unknown]
    ): Promise<boolean> {
      const facts = expected.get(id)!;
      if (await ask(...request)) {
        (facts as Record<string, unknown>)[field] = [value];
        acknowledgedMs.get(id)![field] = Date.now();
        return true;
      }
      (facts[field] as unknown[]).push(value);
      return false;
    }

    async function lane(current: { poolId: string; joined: number }): Promise<void> {
      while (!stopped) {
        if (current.joined === IPS_PER_POOL) {
          const pool = await ask('POST', '/v1/dedicated-ips/pools', { name: `pool-${pools++}` });
          if (!pool) continue;
          current.poolId = String(pool.id);
          current.joined = 0;
        }
        const created = await ask('POST', '/v1/dedicated-ips', {});
        if (!created) continue;
        const id = String(created.id);
        const path = `/v1/dedicated-ips/${id}`;
        expected.set(id, { status: ['provisioning'], perDay: [null], held: [false], inPool: [false] });
        acknowledgedMs.set(id, { id: Date.now() });
        if (!(await change(id, 'status', 'warming', 'POST', `${path}/warmup`, {}))) continue;
        const join = ['POST', `/v1/dedicated-ips/pools/${current.poolId}/ips`, { ipId: id }] as const;
        poolOf.set(id, current.poolId);
        current.joined += 1;
        if (!(await change(id, 'inPool', true, ...join))) continue;
        for (let cycle = 1; cycle <= CYCLES && !stopped; cycle += 1) {
          const ceiling = { perDay: cycle, perHour: null };
          if (!(await change(id, 'perDay', cycle, 'PATCH', path, { ceiling }))) break;
          if (!(await change(id, 'held', true, 'POST', `${path}/hold`, { because: `cycle ${cycle}` }))) break;
          // Every other IP stays held: a hold that is forgotten is the loss that would hurt most.
          if (cycle === CYCLES && expected.size % 2 === 0) break;
          if (!(await change(id, 'held', false, 'DELETE', `${path}/hold`))) break;
        }
      }
    }
    const lanes = filling.map(lane);

    return {
      acknowledgedAt,
      refused,
      async stop() {
        stopped = true;
        await Promise.all(lanes);
      },
      async examine() {
        const lost: { sentence: string; acknowledgedMs: number }[] = [];
        for (const [id, facts] of expected) {
          const gone = changesLost(id, facts, await look(id));
          const times = acknowledgedMs.get(id)!;
          for (const { field, sentence } of gone)
            lost.push({ sentence, acknowledgedMs: times[field] ?? times.id! });
          // Told once; what comes later is compared with what there is.
          if (gone.length > 0) expected.delete(id);
        }
        return lost;
      },
    };
  }

  async function look(id: string): Promise<Facts | null> {
    const { status, body } = await api('GET', `/v1/dedicated-ips/${id}`);
    if (status === 404) return null;
    return {
      status: String(body.status),
      perDay: (body.ceiling as { perDay: number | null }).perDay,
      held: body.hold !== null,
      inPool: (body.poolIds as string[]).includes(poolOf.get(id)!),
    };
  }

  return { start };
}
