import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** What people put into their mail senders stays small: all that a module loads, seen by Node in a process of its own. */
async function loadedBy(module: string): Promise<{ packages: string[]; own: string[] }> {
  const data = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const hook = data(`
    import { writeSync } from 'node:fs';
    export const load = (url, context, next) => {
      writeSync(1, url + '\\n');
      return next(url, context);
    };`);
  const watch = data(`
    import { register } from 'node:module';
    register(${JSON.stringify(hook)});`);
  // What is loaded by require is in its cache.
  const program = `
    import { createRequire } from 'node:module';
    import { pathToFileURL } from 'node:url';
    await import(${JSON.stringify(new URL(`../../src/${module}`, import.meta.url).href)});
    for (const file of Object.keys(createRequire(import.meta.url).cache)) console.log(pathToFileURL(file).href);`;
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--import', 'tsx', '--import', watch],
    ...['--input-type=module', '--eval', program],
  ]);
  const root = new URL('../../', import.meta.url).href;
  const urls = stdout.split('\n').filter((url) => url.startsWith(root));
  const inside = urls.map((url) => decodeURIComponent(url.slice(root.length).replace(/\?.*$/, '')));
  const packageOf = (path: string) =>
    /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(path)?.[1];
  return {
    packages: [...new Set(inside.flatMap((path) => packageOf(path) ?? []))]
      .filter((name) => !LOADER.includes(name))
      .sort(),
    own: [...new Set(inside.filter((path) => path.startsWith('src/')))].sort(),
  };
}

/** The loader of the test itself. */
const LOADER = ['tsx', 'esbuild', 'get-tsconfig', 'resolve-pkg-maps'];
const HEAVY = ['fastify', 'bullmq', 'luxon', 'zod', 'pino', 'smtp-server', 'commander'];
/** Of the house a sender may see these, and types of anything. */
const ALLOWED =
  /^src\/(sender\/|redis\/(awake|serving|connect|demand|directory|limiter|answer|receipt|coalescer|keys|scripts|hot-record|node-urls|replicated)\.ts$|warmup\/(errors|units|counter)\.ts$)/;

test('warmline/sender loads ioredis and the few files that it needs', async () => {
  const { packages, own } = await loadedBy('sender/index.ts');
  expect(own).toContain('src/sender/index.ts');
  expect(own.filter((path) => !ALLOWED.test(path))).toEqual([]);
  expect(packages).toContain('ioredis');
  expect(packages.filter((name) => [...HEAVY, 'nodemailer'].includes(name))).toEqual([]);
});

test('warmline/nodemailer loads Nodemailer, and of ours only the plugin', async () => {
  const { packages, own } = await loadedBy('sender/nodemailer.ts');
  expect(packages).toEqual(['nodemailer']);
  expect(own.filter((path) => !ALLOWED.test(path))).toEqual([]);
  expect(own.filter((path) => path.startsWith('src/redis/'))).toEqual([]);
});

test('the watch sees what is loaded', async () => {
  const { packages, own } = await loadedBy('fleet/accounts.ts');
  expect(packages).toContain('zod');
  expect(own.filter((path) => !ALLOWED.test(path))).toContain('src/fleet/accounts.ts');
});
