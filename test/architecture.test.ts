import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

// The house has floors, and a file imports only from floors below, never up. A stranger finds the way by that, so a test
// keeps it so.

const root = fileURLToPath(new URL('..', import.meta.url));

/** What each room may import from, besides itself. */
const ROOMS: Record<string, readonly string[]> = {
  schedules: [],
  'src/warmup': ['schedules'],
  'src/wire': ['src/warmup', 'schedules'],
  'src/redis': ['src/warmup'],
  'src/queue': ['src/redis', 'src/warmup'],
  // REDIS_URL is read in the words of those who connect.
  'src/runtime': ['src/redis', 'schedules', 'src/warmup'],
  'src/fleet': ['src/redis', 'src/runtime', 'src/wire', 'src/warmup', 'schedules'],
  'src/worker': ['src/fleet', 'src/queue', 'src/redis', 'src/runtime', 'src/warmup'],
  'src/http': ['src/fleet', 'src/queue', 'src/redis', 'src/runtime', 'src/wire', 'src/warmup', 'schedules'],
  // Beside the floors: what others install.
  'src/sender': ['src/redis', 'src/warmup'],
  'src/client': [],
  'src/cli': [
    ...[
      'src/fleet',
      'src/worker',
      'src/http',
      'src/sender',
      'src/queue',
      'src/redis',
      'src/runtime',
      'src/wire',
    ],
    ...['src/warmup', 'schedules'],
  ],
};

const roomOf = (file: string) =>
  Object.keys(ROOMS).find((room) => file.startsWith(`${room}/`)) ?? `${file} (in no room)`;

const sources = ['schedules', 'src'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name)),
);

test('a file imports only from floors below', () => {
  const wrong: string[] = [];
  for (const file of sources) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const [, target] of text.matchAll(/(?:from|import\()\s*'(\.{1,2}\/[^']+)'/g)) {
      const to = relative(root, resolve(root, dirname(file), target!));
      const [room, other] = [roomOf(file), roomOf(to)];
      if (room !== other && !ROOMS[room]?.includes(other)) wrong.push(`${file} imports ${to}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('the pure rooms ask neither the clock, nor chance, nor the world', () => {
  const wrong = sources
    .filter((file) => /^(schedules|src\/warmup|src\/wire)\//.test(file))
    .filter((file) => {
      const code = readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
      return /Date\.now\(|new Date\(\)|Math\.random\(|process\.|from 'node:(?!crypto|net)|from '(ioredis|bullmq|fastify|pino)/.test(
        code,
      );
    });
  expect(wrong).toEqual([]);
});

test('the dashboard asks the use cases, and Redis itself only about its sessions', () => {
  const wrong = sources
    .filter((file) => file.startsWith('src/http/dashboard/') && !file.endsWith('/sessions.ts'))
    .filter((file) => /\/redis\/|scripts\.redis|scripts\.run/.test(readFileSync(join(root, file), 'utf8')));
  expect(wrong).toEqual([]);
});
