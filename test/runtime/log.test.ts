import { describe, expect, test } from 'vitest';
import { createLog } from '../../src/runtime/log.ts';

/** A log is read by many: what opens a door must not be in it, wherever in a line it stands. */

function capture(options: { pretty: boolean; level?: 'info' | 'debug' }) {
  const lines: string[] = [];
  const stream = { write: (line: string) => lines.push(line) };
  return { lines, log: createLog({ level: options.level ?? 'info', pretty: options.pretty, stream }) };
}

describe('the log', () => {
  test.each([{ pretty: false }, { pretty: true }])('holds no secret (pretty: $pretty)', ({ pretty }) => {
    const { lines, log } = capture({ pretty });
    log.info(
      { req: { headers: { authorization: 'Bearer geheim-geheim', 'x-api-key': 'geheim' } } },
      'request',
    );
    log.info({ apiKey: 'geheim', account: { key: 'geheim' }, redis: { password: 'geheim' } }, 'fields');
    log.info('connected to redis://user:ge@heim@10.0.0.5:6379/2');
    log.warn({ url: 'rediss://:geheim@10.0.0.5' }, 'Authorization was Bearer geheim-geheim');
    log.error({ err: new Error('connect ECONNREFUSED redis://:geheim@10.0.0.5:6379') }, 'failed');
    const all = lines.join('');
    expect(all).not.toMatch(/geheim|ge@heim/);
    expect(all).toContain('redis://***@10.0.0.5:6379/2');
    expect(lines).toHaveLength(5);
  });

  test('is JSON for machines', () => {
    const { lines, log } = capture({ pretty: false });
    log.info({ ip: '203.0.113.7' }, 'ip advanced');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 30, ip: '203.0.113.7', msg: 'ip advanced' });
  });

  test('is lines for people', () => {
    const { lines, log } = capture({ pretty: true });
    log.info({ ip: '203.0.113.7' }, 'ip advanced');
    expect(lines[0]).toMatch(/^\[\d\d:\d\d:\d\d\] INFO: ip advanced\n {4}ip: "203.0.113.7"\n$/);
  });

  test('leaves out what is below its level', () => {
    const { lines, log } = capture({ pretty: false });
    log.debug('not this');
    expect(lines).toEqual([]);
  });
});
