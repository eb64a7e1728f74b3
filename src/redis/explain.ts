/** What the limiter read when it decided on a take, of each IP that it considered (layout in `lua/explain.lua`). */
import type { Binding } from '../warmup/counter.ts';
import type { Explained } from '../warmup/explanation.ts';
import { answerOf, ReplyReader, type TakeAnswer } from './answer.ts';
import { type AccountKeys, type AccountRef, accountKeys } from './keys.ts';
import type { Scripts } from './scripts.ts';

/** The numbers of what binds, as the scripts write them. */
const BINDS: readonly (Binding | null)[] = [
  null,
  'status',
  'hold',
  'day',
  'hour',
  'burst',
  'ceiling',
  'count',
];
const ROW_BYTES = 22 * 8;

export type ExplainCall = {
  count: number;
  partial: boolean;
  target:
    | { address: string; id: string | null }
    | { pool: string; family: 4 | 6 | null; among: readonly string[] };
};

export type ExplainReply = {
  nowMs: number;
  answer: TakeAnswer;
  /** `ip`, `all`, or the id of a pool. */
  scope: string;
  ipCount: number;
  gate: { warmingShare: number; used: number; warmingUsed: number; warmingMay: number | null } | null;
  ceiling: Explained | null;
  ips: (Explained & { ip: string; ipId: string; granted: number })[];
};

/** `null`: there is no such pool, or nothing is published for the IP. Nothing is counted. */
export async function explainTake(
  scripts: Scripts,
  account: AccountRef,
  { count, partial, target }: ExplainCall,
): Promise<ExplainReply | null> {
  const keys = accountKeys(account);
  const named =
    'address' in target
      ? ['ip', target.address, target.id ?? '']
      : ['pool', target.pool, target.family ?? '', ...target.among];
  if ('pool' in target && target.among.length === 0) await setRight(scripts, keys, target);
  const reply = (await scripts.runBuffer('explain', [
    keys.account,
    keys.prefix,
    count,
    partial ? 'partial' : '',
    ...named,
  ])) as Buffer[] | null;
  if (reply === null) return null;
  const [answer, head, ceiling, ...rows] = reply as [Buffer, Buffer, Buffer, ...Buffer[]];
  const at = (index: number) => head.readDoubleLE(index * 8);
  return {
    nowMs: at(0),
    answer: answerOf(new ReplyReader(answer).answer(count), true),
    scope: head.toString('utf8', 7 * 8),
    ipCount: at(1),
    gate:
      at(2) === 1
        ? { warmingShare: at(3), used: at(4), warmingUsed: at(5), warmingMay: at(6) < 0 ? null : at(6) }
        : null,
    ceiling: ceiling.length === 0 ? null : explained(ceiling),
    ips: rows.map((row) => {
      const [ipId = '', ip = ''] = row.toString('utf8', ROW_BYTES).split('\n');
      return { ip, ipId, granted: row.readDoubleLE(0), ...explained(row) };
    }),
  };
}

/** Calls of 96 IPs each, a few milliseconds of Redis: for more IPs than an account is meant to have. */
const MOST_PARTS = 160;

/**
 * Of thousands of IPs that turned together the whole index is out of date. It is set right as takes do it, but in parts,
 * between which Redis serves the senders; then the choice is explained in one more call.
 */
async function setRight(
  scripts: Scripts,
  keys: AccountKeys,
  { pool, family }: { pool: string; family: 4 | 6 | null },
): Promise<void> {
  for (let parts = 0; parts < MOST_PARTS; parts += 1) {
    const more = await scripts.run('set-right', [keys.account, keys.prefix, pool, family ?? '']);
    if (Number(more) !== 1) return;
  }
}

function explained(row: Buffer): Explained {
  const at = (index: number) => row.readDoubleLE(index * 8);
  const limit = (index: number) => (at(index) < 0 ? null : at(index));
  return {
    room: at(1) < 0 ? Number.POSITIVE_INFINITY : at(1),
    binds: BINDS[at(2)] ?? null,
    limit: at(3),
    remaining: at(4),
    resetsAtMs: at(5),
    roomAtMs: at(6) < 0 ? null : at(6),
    roomThen: at(7) < 0 ? Number.POSITIVE_INFINITY : at(7),
    day: { limit: limit(12), used: at(13), fromMs: at(10), toMs: at(11) },
    hour: { limit: limit(16), used: at(17), fromMs: at(14), toMs: at(15) },
    bucket: limit(18) === null ? null : { size: at(18), level: at(19), fullAtMs: at(20) },
  };
}
