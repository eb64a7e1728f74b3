/** `warmline ...` on a pseudo-terminal of a size that the test chooses. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { stripVTControlCharacters } from 'node:util';
import { WARMLINE } from '../support/warmline.ts';

/** `script` of util-linux; that of BSD takes other arguments. */
export const hasTerminal = /util-linux/.test(
  spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '',
);

export const HIDDEN = '\x1b[?1049l';

export function onTerminal(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  { columns = 120, rows = 20 } = {},
) {
  const quoted = [process.execPath, WARMLINE, ...args].map((one) => `'${one}'`).join(' ');
  // The settings of the terminal are told before and after, so that a test can compare them.
  const line = `stty cols ${columns} rows ${rows}; echo "before $(stty -g)"; ${quoted}; code=$?; echo "after $(stty -g)"; exit $code`;
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    env: { ...process.env, TERM: 'xterm-256color', NO_COLOR: '', SHELL: '/bin/sh', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    out += chunk;
  });
  const ended = once(child, 'close').then(([code]) => code as number);
  return {
    ended,
    raw: () => out,
    /** What the screen shows: the last frame that was drawn. */
    shown: () => stripVTControlCharacters(out.slice(Math.max(0, out.lastIndexOf('\x1b[H')))),
    press: (keys: string) => void child.stdin.write(keys),
    /** Whether the terminal is as it was before. */
    isRestored: () => {
      const [, before] = /before (\S+)/.exec(out) ?? [];
      const [, after] = /after (\S+)/.exec(out) ?? [];
      return before !== undefined && before === after;
    },
    kill: () => child.kill('SIGKILL'),
  };
}
