import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { WARMLINE } from '../support/warmline.ts';
import type { Run } from './in-process.ts';

// What somebody reads who asks for help or does it wrong: an example everywhere, and what to do next.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmline-help-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const warmline = (...args: string[]): Promise<Run> =>
  new Promise((resolve) => {
    const { WARMLINE_URL: _, WARMLINE_API_KEY: __, ...inherited } = process.env;
    const env = { ...inherited, WARMLINE_DATA_DIR: folder };
    execFile(process.execPath, [WARMLINE, ...args], { env }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });

/** What `warmline <path> --help` prints, without a process for each. */
function helpOf(command: Command): string {
  let out = '';
  command.configureOutput({
    writeOut: (text) => {
      out += text;
    },
  });
  command.outputHelp();
  return out;
}

test('every command has an example that calls it', async () => {
  const { out } = await warmline('--help');
  expect(out).toMatch(/^ {2}\$ warmline +how all of them are doing$/m);
  let families = 0;
  for (const { name, load } of COMMANDS) {
    expect(out).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    const command = new Command('warmline').command(name);
    (await load()).register(command);
    const help = helpOf(command);
    expect(help, name).toContain(`warmline ${name}`);
    expect(help, name).toMatch(/Examples?:/);
    for (const one of command.commands) {
      families += 1;
      expect(helpOf(one).split('Examples:')[1], one.name()).toContain(`warmline ${name} ${one.name()}`);
    }
  }
  expect(families).toBeGreaterThan(25);
});

test('a command of a command prints its help, called as a process', async () => {
  const { code, out } = await warmline('ips', 'start', '--help');
  expect(code).toBe(0);
  expect(out.split('Examples:')[1]).toContain('warmline ips start');
});

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
