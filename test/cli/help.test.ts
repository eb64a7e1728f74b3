import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MAIN } from './terminal.ts';

// What somebody reads who asks for help or does it wrong: an example everywhere, and what to do next.

type Run = { code: number; out: string; err: string };
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmline-help-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const warmline = (...args: string[]): Promise<Run> =>
  new Promise((resolve) => {
    const { WARMLINE_URL: _, WARMLINE_API_KEY: __, ...inherited } = process.env;
    const env = { ...inherited, WARMLINE_DATA_DIR: folder };
    execFile(process.execPath, ['--import', 'tsx', MAIN, ...args], { env }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });

/** The commands that a help lists, but for `help` itself. */
const commandsIn = (help: string) =>
  [...(/Commands:\n((?: {2}.*\n)+)/.exec(help)?.[1] ?? '').matchAll(/^ {2}([a-z-]+)/gm)]
    .map(([, name]) => name!)
    .filter((name) => name !== 'help');

test('every command has an example that calls it', async () => {
  const top = await warmline('--help');
  expect(top.out).toMatch(/^ {2}\$ warmline +how all of them are doing$/m);
  const paths: string[][] = [];
  for (const name of commandsIn(top.out)) {
    const { out } = await warmline(name, '--help');
    expect(out, name).toContain(`warmline ${name}`);
    expect(out, name).toMatch(/Examples?:/);
    paths.push(...commandsIn(out).map((one) => [name, one]));
  }
  expect(paths.length).toBeGreaterThan(25);
  for (const path of paths) {
    const { out } = await warmline(...path, '--help');
    expect(out.split('Examples:')[1], path.join(' ')).toContain(`warmline ${path.join(' ')}`);
  }
  // Some sixty processes, one after the other: half a second each, and more on a busy machine.
}, 240_000);

test.each<[args: string[], code: number, says: RegExp]>([
  [['ips', 'lits'], 2, /unknown command 'lits' \(Did you mean list\?\)/],
  [['ips', 'list', '--statsu', 'x'], 2, /unknown option '--statsu' \(Did you mean --status\?\)/],
  [['ips', 'list', '--frobnicate'], 2, /unknown option '--frobnicate'; --help shows how it is called/],
  [['ips', 'list', '--status', 'warm'], 2, /Allowed choices are provisioning, warming, active/],
  [['ips', 'get'], 2, /missing required argument 'ip'; --help shows how it is called/],
  [['ips', 'list'], 1, /no Warmline API runs in .*; start it with npm start/],
  [['ips', 'list', '--url', 'http://127.0.0.1:1'], 2, /no API key is known; give one with --key/],
])('%j', async (args, code, says) => {
  const run = await warmline(...args);
  expect(run).toMatchObject({ code, out: '', err: expect.stringMatching(says) });
  expect(run.err).toMatch(/^warmline: [^\n]+\n$/);
});

test('without a command and without a terminal: the help, as misuse', async () => {
  const { code, err } = await warmline();
  expect(code).toBe(2);
  expect(err).toMatch(/^Usage: warmline/);
});
