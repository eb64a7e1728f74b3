/**
 * What can be wrong with a request, as data: a code that programs read, one sentence that people read (what is wrong,
 * with the value, and what to do), and the parameter at fault. Being over quota is an answer and never one of these.
 */

export type WarmlineErrorCode =
  | 'invalid' //   the value itself is wrong: nothing was changed (HTTP 422)
  | 'not_found' // no such IP, pool or account (HTTP 404)
  | 'conflict' //  the value is fine, but what is there now forbids it (HTTP 409)
  | 'exhausted' // the inventory has no address left (HTTP 422)
  | 'contended'; // too many changed the same thing at once; try again (HTTP 503)

/** In characters. Names and values are cut where they are quoted; this is for the lists and texts that nobody thought of. */
const LONGEST = 2_000;

export class WarmlineError extends Error {
  override readonly name = 'WarmlineError';
  readonly code: WarmlineErrorCode;
  /** The parameter at fault, as the caller spells it, or `null`. */
  readonly param: string | null;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: WarmlineErrorCode,
    message: string,
    options: { param?: string; details?: Record<string, unknown> } = {},
  ) {
    // Messages quote what was given; a line break in it must not become a second line of a log, nor a megabyte fill it.
    const onOneLine = message.replace(/\p{Cc}+/gu, ' ');
    super(onOneLine.length <= LONGEST ? onOneLine : `${onOneLine.slice(0, LONGEST - 1)}…`);
    this.code = code;
    this.param = options.param ?? null;
    this.details = options.details ?? {};
  }
}

export const invalid = (param: string, message: string, details: Record<string, unknown> = {}) =>
  new WarmlineError('invalid', message, { param, details });
export const notFound = (message: string, param?: string) =>
  new WarmlineError('not_found', message, param === undefined ? {} : { param });
export const conflict = (message: string, details: Record<string, unknown> = {}) =>
  new WarmlineError('conflict', message, { details });
