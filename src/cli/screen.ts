/**
 * A terminal taken over for a while: drawn in one write on its alternate screen, and given back as it was, whatever ends
 * the program short of SIGKILL.
 */
import { constants } from 'node:os';
import { emitKeypressEvents } from 'node:readline';

/** Alternate screen, no cursor, and no wrapping of a line that is wider than we thought; the same the other way round. */
const OPEN = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const CLOSE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_REST_OF_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export type Key = { name: string | undefined; ctrl: boolean; text: string };
export type Size = { columns: number; rows: number };

export type Screen = {
  size(): Size;
  draw(lines: readonly string[]): void;
  close(): void;
};

type Events = {
  onKey(key: Key): void;
  onResize(): void;
  /** The terminal went away. */
  onGone(): void;
};

/** Is somebody there to look and to press keys? */
export const isInteractive = ({ stdin, stdout, env } = process) =>
  stdin.isTTY === true && stdout.isTTY === true && env.TERM !== 'dumb';

export function openScreen({ onKey, onResize, onGone }: Events): Screen {
  const { stdin, stdout } = process;
  const keypress = (text: string | undefined, key: { name?: string; ctrl?: boolean } = {}) =>
    onKey({ name: key.name, ctrl: key.ctrl === true, text: text ?? '' });
  let isOpen = true;

  function close(): void {
    if (!isOpen) return;
    isOpen = false;
    process.off('exit', close);
    for (const signal of SIGNALS) process.off(signal, endBy);
    stdout.off('resize', onResize);
    stdin.off('keypress', keypress).off('end', onGone);
    stdout.write(CLOSE);
    stdin.setRawMode(false).pause();
  }
  function endBy(signal: (typeof SIGNALS)[number]): void {
    close();
    process.exit(128 + constants.signals[signal]);
  }

  process.once('exit', close);
  for (const signal of SIGNALS) process.on(signal, endBy);
  emitKeypressEvents(stdin);
  stdin.setRawMode(true).resume();
  stdin.on('keypress', keypress).on('end', onGone);
  stdout.on('resize', onResize);
  stdout.write(OPEN);

  return {
    size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
    draw(lines) {
      const shown = lines.map((line) => `${line}${CLEAR_REST_OF_LINE}`).join('\r\n');
      if (isOpen) stdout.write(`${HOME}${shown}${CLEAR_BELOW}`);
    },
    close,
  };
}
