/**
 * The mark of a restore that has begun and has not come to its end. It has a revision, and whatever an attempt writes names
 * the one that it wrote last. Whoever calls the restore again with the same file takes the mark over and goes on: an attempt
 * that died does not mind, and one that still runs ends with its next write. So none goes on in an account that another has
 * brought back and that is in use since.
 */
import { type Item, transact } from '../../redis/transact.ts';
import { conflict } from '../../warmup/errors.ts';
import { nowIn, type Tenant } from '../engine.ts';
import { recordOf } from '../save.ts';
import { AGAIN, type StoredAccount } from './format.ts';

export type Mark = {
  rev: number;
  /** Of the backup. */
  sha256: string;
  /** The last step that is done. */
  done: string | null;
};

export type Attempt = {
  /** The mark of an attempt before, which has not come to the end. */
  readonly before: Mark | null;
  /** Of the mark as it stands. */
  rev(): number;
  /** Part of an item: refused once the mark is another's. */
  stillOurs(): Item['check'][number];
  /** For what is not in the account's slot, or no item. @throws WarmlineError `conflict` */
  check(): Promise<void>;
  /** Says that a step is done. @throws WarmlineError `conflict` */
  moveTo(step: string): Promise<void>;
};

/** `null`: none has begun, or the account is whole. */
export async function readMark({ engine, keys }: Tenant): Promise<Mark | null> {
  const raw = await engine.scripts.redis.get(keys.restoring);
  if (raw === null) return null;
  if (raw.startsWith('{')) return JSON.parse(raw);
  // As earlier builds wrote it. A script reads its revision as 0.
  const [sha256 = '', done = null] = raw.split(' ');
  return { rev: 0, sha256, done };
}

/** Has a restore of it begun, and not come to its end? */
export const isHalfRestored = async ({ engine, keys }: Tenant): Promise<boolean> =>
  (await engine.scripts.redis.exists(keys.restoring)) === 1;

/**
 * @param standing the mark of an attempt before
 * @param check what else must be as it was read
 * @throws WarmlineError `conflict` when another was faster
 */
export async function takeMark(
  tenant: Tenant,
  { name }: StoredAccount,
  sha256: string,
  standing: Mark | null,
  check: Item['check'] = [],
): Promise<Attempt> {
  const { engine, account, keys } = tenant;
  const isAnothers = () =>
    conflict(
      `account ${name} is being restored by another call, or is whole by now; wait for that one, and ${AGAIN} if warmline check says so`,
    );
  const write = async (mark: Mark, rev: number, checkToo: Item['check'] = []): Promise<Mark> => {
    const run = [['SET', keys.restoring, recordOf(mark.rev, mark)]];
    const item: Item = { check: [[keys.restoring, rev], ...checkToo], run, publish: [] };
    const [applied] = await transact(engine.scripts, account, [item], { whole: true });
    if (applied) return mark;
    throw isAnothers();
  };

  // Of a restore into this account that came to its end long ago no attempt may still be waiting to go on: so not from 1.
  const rev = standing ? standing.rev + 1 : (await nowIn(tenant)) + 1;
  let mark = await write({ rev, sha256, done: standing?.done ?? null }, standing?.rev ?? 0, check);
  return {
    before: standing,
    rev: () => mark.rev,
    stillOurs: () => [keys.restoring, mark.rev],
    async check() {
      if ((await readMark(tenant))?.rev !== mark.rev) throw isAnothers();
    },
    async moveTo(step) {
      mark = await write({ ...mark, rev: mark.rev + 1, done: step }, mark.rev);
    },
  };
}
