/** Where a page ended: the last row's instant and id, opaque to clients, so that a row that leaves shifts nothing. */
import { invalid } from '../warmup/errors.ts';

export const cursorAfter = (atMs: number, id: string) => Buffer.from(`${atMs}:${id}`).toString('base64url');

/** @throws WarmlineError `invalid` (param `cursor`) */
export function readCursor(cursor: string): { atMs: number; id: string } {
  const [, atMs, id] = /^(\d{1,16}):(\w{1,64})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (!atMs || !id)
    throw invalid('cursor', 'this is not a cursor; give back the nextCursor of the page before');
  return { atMs: Number(atMs), id };
}
