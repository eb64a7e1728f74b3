import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

// What people put beside their application is the client alone: compiled by itself into an empty folder, it runs there
// without anything that this project depends on, and its types are understood there.

const root = fileURLToPath(new URL('../..', import.meta.url));
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const run = promisify(execFile);
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'warmline-client-'));
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        rootDir: join(root, 'src/client'),
        outDir: join(folder, 'client'),
        sourceMap: false,
        types: ['node'],
        typeRoots: [join(root, 'node_modules/@types')],
      },
      include: [join(root, 'src/client')],
    }),
  );
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  await run(process.execPath, [tsc, '-p', join(folder, 'tsconfig.json')]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the client imports its own files and nothing else', () => {
  const files = readdirSync(join(folder, 'client')).filter((name) => /\.(js|d\.ts)$/.test(name));
  expect(files).toContain('index.js');
  const imported = files.flatMap((name) => {
    const text = readFileSync(join(folder, 'client', name), 'utf8');
    return [...text.matchAll(/(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g)].map(
      ([, target]) => target!,
    );
  });
  expect(imported.length).toBeGreaterThan(10);
  expect(imported.filter((target) => !/^\.\/[\w-]+\.(js|ts)$/.test(target))).toEqual([]);
});

test('it runs in a folder without any package', async () => {
  const program = `
    import { Warmline, NotFoundError } from './client/index.js';
    const answer = () => new Response('{"id":"ip_1"}', { headers: { 'content-type': 'application/json' } });
    const client = new Warmline({ apiKey: 'k', fetch: async () => answer() });
    console.log((await client.dedicatedIps.get('ip_1')).id, NotFoundError.name);`;
  writeFileSync(join(folder, 'run.js'), program);
  const { stdout } = await run(process.execPath, [join(folder, 'run.js')], { cwd: folder });
  expect(stdout).toBe('ip_1 NotFoundError\n');
});

const USE = `
  import { Warmline, RateLimitError, type DedicatedIp, type Page, type Pool } from './client/index.js';
  const client = new Warmline({ apiKey: 'k' });
  const ip: DedicatedIp = await client.dedicatedIps.create();
  const { data: pools }: Page<Pool> = await client.dedicatedIps.listPools();
  for await (const { ipAddress } of client.dedicatedIps.list({ status: 'warming' })) ipAddress.trim();
  // @ts-expect-error: there is no such status
  client.dedicatedIps.list({ status: 'warm' });
  // @ts-expect-error: a pool has a name
  await client.dedicatedIps.createPool({ isDefault: true });
  try { await client.quota.take({ pool: pools[0]!.id, count: 2 }); }
  catch (error) { if (error instanceof RateLimitError) error.retryAfterMs?.toFixed(); }
  ip.warmingSchedule?.days[0]!.dailyLimit.toFixed();
  export {};`;

test.each([
  ['Node', ['--lib', 'ES2022', '--types', 'node']],
  ['a browser or another runtime', ['--lib', 'ES2022,DOM,DOM.AsyncIterable', '--types', '']],
])('its types are understood for %s, checked in full', async (_name, options) => {
  writeFileSync(join(folder, 'use.ts'), USE);
  const args = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--skipLibCheck',
    'false',
  ];
  const found = await run(
    process.execPath,
    [tsc, '--ignoreConfig', ...args, '--typeRoots', join(root, 'node_modules/@types'), ...options, 'use.ts'],
    { cwd: folder },
  ).catch((error: { stdout: string }) => error);
  expect(found.stdout).toBe('');
});
