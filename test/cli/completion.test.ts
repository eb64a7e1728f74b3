import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WARMLINE } from '../support/warmline.ts';

// The printed scripts, in the shells that this machine has.

const run = promisify(execFile);
const warmline = (...args: string[]) => run(process.execPath, [WARMLINE, ...args]);
const has = (shell: string) => spawnSync(shell, ['--version']).status === 0;

let folder: string;
const fileOf = (shell: string) => join(folder, `warmline.${shell}`);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'warmline-completion-'));
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(fileOf(shell), (await warmline('completion', shell)).stdout);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CASES: [line: string, has: string[], hasNot: string[]][] = [
  ['', ['serve', 'ips', 'completion', 'help'], ['list']],
  ['i', ['inventory', 'ips'], ['pools']],
  ['ips ', ['list', 'start', 'restore'], ['serve', 'rotate']],
  ['ips list --', ['--status', '--pool', '--json', '--help'], ['--burst']],
  ['ips list --status ', ['warming', 'active'], ['--json']],
  ['ips list --status w', ['warming'], ['active']],
  ['ips list --json --status a', ['active'], ['warming']],
  ['completion ', ['bash', 'zsh', 'fish'], ['serve']],
  ['help q', ['quota'], ['serve']],
  ['hold --no', ['--no-advance', '--no-sending'], ['--because']],
];

describe.skipIf(!has('bash'))('bash', () => {
  test('knows how to complete warmline', async () => {
    const { stdout } = await run('bash', ['-c', `source ${fileOf('bash')}; complete -p warmline`]);
    expect(stdout).toBe('complete -F _warmline warmline\n');
  });

  test.each(CASES)('warmline %s', async (line, wanted, unwanted) => {
    const words = ['warmline', ...line.split(' ')];
    const script = `source ${fileOf('bash')}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _warmline; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const found = (await run('bash', ['-u', '-c', script])).stdout.split('\n');
    expect(found).toEqual(expect.arrayContaining(wanted));
    for (const word of unwanted) expect(found).not.toContain(word);
  });
});

describe.skipIf(!has('fish'))('fish', () => {
  test.each(CASES)('warmline %s', async (line, wanted, unwanted) => {
    const script = `source ${fileOf('fish')}; complete -C 'warmline ${line}'`;
    const found = (await run('fish', ['-c', script])).stdout.split('\n').map((one) => one.split('\t')[0]);
    expect(found).toEqual(expect.arrayContaining(wanted));
    for (const word of unwanted) expect(found).not.toContain(word);
  });
});

test.skipIf(!has('zsh'))('zsh reads its script', async () => {
  await run('zsh', ['-n', fileOf('zsh')]);
});

test('another shell is misuse, and the sentence names those that there are', async () => {
  await expect(warmline('completion', 'tcsh')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('Allowed choices are bash, zsh, fish'),
  });
});
