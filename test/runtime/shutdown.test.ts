import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { createShutdown } from '../../src/runtime/shutdown.ts';
import { killPrograms, startProgram } from '../support/processes.ts';

/** What was started last stops first, all of it, once, and in bounded time. */

const never = () => new Promise<void>(() => {});
afterEach(killPrograms);

function prepare(deadlineMs = 10_000) {
  const told: string[] = [];
  const codes: number[] = [];
  const error = (fields: { part?: string }, message: string) => told.push(`${fields.part}: ${message}`);
  const log = { info() {}, warn() {}, error } as never;
  const shutdown = createShutdown({ log, deadlineMs, signals: [], exit: (code) => codes.push(code) });
  const stops: string[] = [];
  const add = (name: string) =>
    shutdown.add(name, async () => {
      stops.push(name);
    });
  return { shutdown, add, stops, told, codes };
}

describe('an orderly end', () => {
  test('stops the parts in reverse order, once', async () => {
    const { shutdown, add, stops } = prepare();
    for (const name of ['redis', 'worker', 'http']) add(name);
    expect(shutdown.signal.aborted).toBe(false);
    expect(await Promise.all([shutdown.stop('test'), shutdown.stop('again')])).toEqual([0, 0]);
    expect(stops).toEqual(['http', 'worker', 'redis']);
    expect(shutdown.signal.aborted).toBe(true);
  });

  test('goes on after a part that fails, and says so', async () => {
    const { shutdown, add, stops, told, codes } = prepare();
    add('redis');
    shutdown.add('http', () => Promise.reject(new Error('no')));
    await shutdown.exit('test');
    expect(stops).toEqual(['redis']);
    expect(told).toEqual(['http: part failed to stop']);
    expect(codes).toEqual([1]);
  });

  test('waits for a part until the deadline only', async () => {
    const { shutdown, add, stops, told } = prepare(20);
    add('redis');
    shutdown.add('http', never);
    expect(await shutdown.stop('test')).toBe(1);
    expect(stops).toEqual(['redis']);
    expect(told[0]).toBe('http: part did not stop in time');
  });

  test('takes along a part that comes while stopping, or after', async () => {
    const { shutdown, add, stops } = prepare();
    shutdown.add('http', async () => add('late'));
    await shutdown.stop('test');
    expect(stops).toEqual(['late']);
    add('too late');
    await Promise.resolve().then(() => sleep(0));
    expect(stops).toEqual(['late', 'too late']);
  });

  test('exits with 1 if it ends because something failed', async () => {
    const { shutdown, codes } = prepare();
    await shutdown.exit('redis ended', { failed: true });
    expect(codes).toEqual([1]);
  });
});

describe('a time of quiet', () => {
  const LONG_MS = 60_000;

  test('comes before the first part stops, and takes nothing from the deadline', async () => {
    const { shutdown, add, stops, told } = prepare(50);
    add('redis');
    shutdown.quietFor(100, () => stops.push('quiet'));
    add('http');
    const begunMs = performance.now();
    expect(await shutdown.stop('test')).toBe(0);
    expect(performance.now() - begunMs).toBeGreaterThan(95);
    expect(stops).toEqual(['quiet', 'http', 'redis']);
    expect(told).toEqual([]);
  });

  test('is left out when something broke', async () => {
    const { shutdown, add, stops } = prepare();
    add('redis');
    shutdown.quietFor(LONG_MS, () => stops.push('quiet'));
    expect(await shutdown.stop('redis ended', { failed: true })).toBe(1);
    expect(stops).toEqual(['redis']);
  });

  test('is over when something breaks meanwhile, and the end is a failed one', async () => {
    const { shutdown, add, stops } = prepare();
    add('redis');
    shutdown.quietFor(LONG_MS, () => stops.push('quiet'));
    const stopped = shutdown.stop('SIGTERM');
    expect(stops).toEqual(['quiet']);
    void shutdown.stop('redis ended', { failed: true });
    expect(await stopped).toBe(1);
    expect(stops).toEqual(['quiet', 'redis']);
  });
});

describe('a signal', () => {
  test('that arrives twice at once, as npm sends it, is one', async () => {
    const program = startProgram(new URL('./fixtures/two-parts.ts', import.meta.url));
    expect(await program.line()).toBe('ready');
    program.child.kill('SIGINT');
    expect(await program.line()).toBe('second stopping');
    program.child.kill('SIGINT');
    program.child.stdin?.write('go on\n');
    expect(await program.line()).toBe('first stopped');
    expect(await program.ended).toBe(0);
  });

  test('that comes again later ends the process at once', async () => {
    const program = startProgram(new URL('./fixtures/two-parts.ts', import.meta.url));
    expect(await program.line()).toBe('ready');
    program.child.kill('SIGTERM');
    expect(await program.line()).toBe('second stopping');
    // Until it is no echo of the first any more.
    const again = setInterval(() => program.child.kill('SIGTERM'), 50);
    expect(await program.ended).toBe(143);
    clearInterval(again);
  });
});
