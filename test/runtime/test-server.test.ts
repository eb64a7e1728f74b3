import { existsSync, rmSync } from 'node:fs';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, test } from 'vitest';
import { identify } from '../../src/runtime/process-identity.ts';
import { eventually, killPrograms, startProgram } from '../support/processes.ts';
import { freePort, startRedisServer } from '../support/redis-server.ts';

/** The redis-server that all other tests stand on: of their own, and gone when they are. */

afterEach(killPrograms);

async function value(url: string): Promise<string | null> {
  const redis = new Redis(url);
  try {
    return await redis.get('key');
  } finally {
    redis.disconnect();
  }
}

describe('the redis-server of a test', () => {
  test('can be killed and comes back with what was on disk, at the same address', async () => {
    const server = await startRedisServer({
      config: ['--appendonly', 'yes', '--appendfsync', 'always', '--requirepass', 'p w'],
    });
    const redis = new Redis(server.url, { retryStrategy: () => null });
    redis.on('error', () => {});
    await redis.set('key', 'kept');
    const { pid, dir } = server;
    await server.kill9();
    expect(identify(pid)).toBeNull();
    await server.restart();
    expect(server.pid).not.toBe(pid);
    expect(await value(server.url)).toBe('kept');
    await server.stop();
    expect([identify(server.pid), existsSync(dir)]).toEqual([null, false]);
  });

  test('ends when its test process is killed', async () => {
    const program = startProgram(new URL('./fixtures/test-server.ts', import.meta.url));
    const { pid, dir } = JSON.parse(await program.line());
    expect(identify(pid)).not.toBeNull();
    program.child.kill('SIGKILL');
    await eventually('redis has ended', () => identify(pid) === null, 5_000);
    rmSync(dir, { recursive: true });
  });

  test('is never the one of somebody else who got its port first', async () => {
    const other = await startRedisServer();
    const ports = [other.port];
    // So slow that whoever asks at the port is answered by the other one for a while.
    const server = await startRedisServer({
      through: ['/bin/sh', '-c', 'sleep 0.3; exec "$@"', 'sh'],
      pickPort: async () => ports.pop() ?? freePort(),
    });
    expect(server.port).not.toBe(other.port);
    await Promise.all([server.stop(), other.stop()]);
  });

  test('says why it does not start', async () => {
    await expect(startRedisServer({ config: ['--maxmemory-policy', 'nonsense'] })).rejects.toThrow(
      /redis-server ended at its start:[\s\S]*argument/,
    );
  });
});
