/** What a message fails with when its IPs may not send it and waiting is useless, or would take longer than allowed. */
import type { BecauseCode, TakeAnswer } from '../redis/answer.ts';

export class QuotaExhausted extends Error {
  override readonly name = 'QuotaExhausted';
  readonly code = 'quota_exhausted';
  /** When the same message would go out if nobody else took; `null`: never, as things stand. */
  readonly retryAfterMs: number | null;
  readonly because: TakeAnswer['because'];

  /** @param wanted what was asked for: `3 sends from pool "marketing"` */
  constructor(wanted: string, { retryAfterMs, because }: Pick<TakeAnswer, 'retryAfterMs' | 'because'>) {
    const why = because ? REASONS[because.code] : 'nothing is left';
    const when =
      retryAfterMs === null ? 'waiting is of no use' : `there will be quota in ${inWords(retryAfterMs)}`;
    super(`no quota for ${wanted}: ${why}; ${when}`);
    this.retryAfterMs = retryAfterMs;
    this.because = because;
  }
}

const REASONS: Record<BecauseCode, string> = {
  status: 'no IP is there that may send now',
  hold: 'sending is on hold',
  unpublished: 'no quota is published for it yet',
  day: 'the daily limit is used up',
  hour: 'the hourly cap is used up',
  burst: 'the burst is used up',
  ceiling: 'the ceiling that the operator set is reached',
  count: 'it is more than the limits ever allow at once',
  unreachable: 'Redis cannot be reached',
};

function inWords(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)} ms`;
  if (ms < 120_000) return `${Math.ceil(ms / 1_000)} s`;
  if (ms < 7_200_000) return `${Math.ceil(ms / 60_000)} min`;
  return `${Math.ceil(ms / 3_600_000)} h`;
}
