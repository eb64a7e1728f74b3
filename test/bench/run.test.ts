import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const program = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url));
const run = (...args: string[]) => spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });

// It compiles everything first, which takes some seconds, and many on a busy machine.
const TIMEOUT_MS = 180_000;

// How fast anything is, is not tested: a report is no judge, and a busy machine no reason to fail.
test(
  'a run yields figures for programs, and a chart',
  () => {
    const chart = join(tmpdir(), `warmline-bench-${process.pid}.svg`);
    const { stdout, status } = run(
      'limiter',
      '--quick',
      '--rounds',
      '1',
      '--slice',
      '10',
      '--json',
      '--chart',
      chart,
    );
    expect(status).toBe(0);
    const { parts } = JSON.parse(stdout);
    expect(parts[0].failed).toBeUndefined();
    expect(parts[0].rows.length).toBeGreaterThan(10);
    for (const { measured, verdict } of parts[0].rows) {
      for (const value of Object.values(measured)) expect(Number.isFinite(value)).toBe(true);
      expect(['stretch', 'met', 'missed', 'for information']).toContain(verdict);
    }
    expect(readFileSync(chart, 'utf8')).toMatch(/^<svg /);
    rmSync(chart);
  },
  TIMEOUT_MS,
);
