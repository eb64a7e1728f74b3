/** Builds and runs the one script that changes an account: what was decided, with the revisions it was decided on. */
import type { SendQuota } from '../warmup/quota.ts';
import { type HotTexts, packPublished } from './hot-record.ts';
import { type AccountRef, accountKeys } from './keys.ts';
import type { Scripts } from './scripts.ts';

export type Item = {
  /** Keys of records and the revision that was read; 0: there was none. */
  check: [key: string, revision: number][];
  /** The allocation that this item completes; refused once the worker has given it up. */
  allocation?: string;
  run: (string | number)[][];
  /** `known`: it was published before, so a hot record that is not there was lost. */
  publish: { texts: HotTexts; quota: SendQuota; known: boolean; was: string[]; scopes: string[] }[];
};

/** @returns for each item whether it was applied; with `whole` all are or none is. */
export async function transact(
  scripts: Scripts,
  account: AccountRef,
  items: readonly Item[],
  { whole }: { whole: boolean },
): Promise<boolean[]> {
  const keys = accountKeys(account);
  const args = items.flatMap(({ check, allocation, run, publish }) => [
    JSON.stringify({
      check,
      allocation,
      run,
      publish: publish.map(({ texts, known, was, scopes }) => ({
        address: texts.address,
        id: texts.id,
        known,
        was,
        scopes,
      })),
    }),
    ...publish.map(({ quota, texts }) => packPublished(quota, texts)),
  ]);
  const results = (await scripts.run('transact', [
    keys.account,
    keys.prefix,
    whole ? 1 : 0,
    ...args,
  ])) as number[];
  return results.map((result) => Number(result) === 1);
}
