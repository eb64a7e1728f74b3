/** Says on a terminal that something is still going on, and for how long: on stderr, so that what is piped stays clean. */
import { lasting } from '../warmup/words.ts';

const FRAMES = ['|', '/', '-', '\\'];
const EVERY_MS = 120;
/** What is faster than this needs no word. */
const SILENT_FOR_MS = 400;
const CLEAR_LINE = '\r\x1b[K';

/** @param doing a text, or what tells it anew: `reading, 2,300 so far` */
export async function whileWaiting<Result>(
  doing: string | (() => string),
  work: Promise<Result>,
  { stderr, env } = process,
): Promise<Result> {
  if (!stderr.isTTY || env.TERM === 'dumb') return work;
  const startedMs = performance.now();
  let turns = 0;
  const timer = setInterval(() => {
    const sinceMs = performance.now() - startedMs;
    if (sinceMs < SILENT_FOR_MS) return;
    turns += 1;
    const text = typeof doing === 'string' ? doing : doing();
    const line = `${FRAMES[turns % FRAMES.length]} ${text}${sinceMs < 1_000 ? '' : `, ${lasting(sinceMs)}`}`;
    stderr.write(`${CLEAR_LINE}${line.slice(0, (stderr.columns || 80) - 1)}`);
  }, EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (turns > 0) stderr.write(CLEAR_LINE);
  }
}
