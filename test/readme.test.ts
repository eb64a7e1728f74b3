import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from './support/processes.ts';
import { PYTHON } from './support/python.ts';
import { type Sink, startSink } from './support/smtp-sink.ts';

// The README is the product's face, so what it says is run here, as it stands there: the console block, the commands, the
// curl lines and the two programs, against a real server.

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const MAIN = join(root, 'src/cli/main.ts');
const run = promisify(execFile);

/** The block that follows `<!-- tested: name -->`. */
function block(name: string): string {
  const found = new RegExp(`<!-- tested: ${name} -->\n\`\`\`\\w+\n([\\s\\S]*?)\`\`\``).exec(readme);
  if (!found) throw new Error(`the README has no block marked "tested: ${name}"`);
  return found[1]!;
}

let dataDir: string;
let env: NodeJS.ProcessEnv;
let sink: Sink;
let stop: () => Promise<void>;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'warmline-readme-'));
  sink = await startSink({});
  const server = spawn(process.execPath, ['--import', 'tsx', MAIN, 'serve'], {
    env: { ...process.env, PORT: '0', WARMLINE_DATA_DIR: dataDir, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(server, 'exit');
  stop = async () => {
    server.kill('SIGTERM');
    await ended;
  };
  let out = '';
  server.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  await eventually('the server answers', () => out.includes('Warmline answers at'), 30_000);
  const { url: redisUrl } = JSON.parse(readFileSync(join(dataDir, 'redis.json'), 'utf8'));
  const url = /answers at (http:[^;"]+);/.exec(out)![1]!;
  const key = readFileSync(join(dataDir, 'api-key'), 'utf8').trim();
  env = {
    ...process.env,
    WARMLINE_DATA_DIR: dataDir,
    URL: url,
    KEY: key,
    WARMLINE_URL: url,
    WARMLINE_API_KEY: key,
    REDIS_URL: redisUrl,
    SMTP_PORT: String(sink.port),
    NO_COLOR: '1',
  };
});

afterAll(async () => {
  await stop();
  await sink.close();
  rmSync(dataDir, { recursive: true, force: true });
});

test('the dry run prints what the README opens with', async () => {
  const console = /```console\n\$ npx warmline (.*)\n([\s\S]*?)```/.exec(readme)!;
  const { stdout } = await run(process.execPath, ['--import', 'tsx', MAIN, ...console[1]!.split(' ')], {
    cwd: root,
  });
  expect(stdout.trimEnd()).toBe(console[2]!.trimEnd());
});

/** Runs the lines of a shell block one by one, and stops at the first that fails. */
async function shell(script: string): Promise<string> {
  const lines = script.replaceAll('npx warmline', `"${process.execPath}" --import tsx "${MAIN}"`);
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', lines], { cwd: root, env });
  return stdout;
}

test('the commands warm up an IP', async () => {
  const out = await shell(block('cli'));
  expect(out).toContain('203.0.113.0');
  expect(out).toContain('marketing');
});

test('the commands say why mail is held, and when a campaign is done', async () => {
  const out = await shell(block('explain'));
  expect(out).toMatch(/^1 send may go now, from 203\.0\.113\.0\.\n/);
  expect(out).toMatch(
    /The last of 500,000 messages leaves .*; the hourly cap holds it up most\.\nWith 2 more IPs: /,
  );
});

test('the curl lines do the same over HTTP', async () => {
  // What curl sends with -d and no content type is a form by name; the API takes it for the JSON that it is.
  const answers = (await shell(block('http'))).split(/(?<=\})(?=\{)/).map((text) => JSON.parse(text));
  const [added, brought, started, taken] = answers;
  expect(added).toMatchObject({ added: 8 });
  expect(brought).toMatchObject({ added: 1 });
  expect(started).toMatchObject({ status: 'warming', warmingSchedule: { totalDays: 14 } });
  expect(taken).toMatchObject({ allowed: true, granted: [{ ip: '192.0.2.7', count: 3 }] });
});

/** Runs a program of the README with the package's own sources in the place of the installed ones. */
async function program(name: string, pool = 'marketing'): Promise<string> {
  const source = block(name)
    .replace("pool: 'marketing'", `pool: '${pool}'`)
    .replace("'warmline/sender'", `'${join(root, 'src/sender/index.ts')}'`)
    .replace("'warmline/nodemailer'", `'${join(root, 'src/sender/nodemailer.ts')}'`)
    .replace("'warmline/client'", `'${join(root, 'src/client/index.ts')}'`);
  // Inside the project, so that its packages are found.
  const file = join(root, 'test', `.readme-${name}.tmp.mjs`);
  writeFileSync(file, source);
  try {
    return (await run(process.execPath, ['--import', 'tsx', file], { cwd: root, env })).stdout;
  } finally {
    rmSync(file);
  }
}

test('the program that asks over Redis is granted three sends from the pool', async () => {
  expect(await program('sender')).toMatch(/^3 from 203\.0\.113\.0\n$/);
});

test('the program that leases has one send from the pool at once', async () => {
  expect(await program('lease')).toMatch(/^from 203\.0\.113\.0\n$/);
});

test('the program with Nodemailer asks for both recipients', async () => {
  // 203.0.113.0 is no address of this machine, so the pool gets one that is, already warm.
  await shell(`npx warmline inventory add 127.0.20.1 --account default --status active
npx warmline pools create local
npx warmline pools add local 127.0.20.1`);
  expect(await program('nodemailer', 'local')).toBe('');
  expect(sink.delivered()).toEqual({ '127.0.20.1': 2 });
});

test('the programs in TypeScript and Python warm up an IP each', async () => {
  expect(await program('client')).toMatch(/^[\d.]+: warming \(7%\)\n$/);
  if (!PYTHON) return;
  const withClient = { ...env, PYTHONPATH: join(root, 'clients/python'), PYTHONDONTWRITEBYTECODE: '1' };
  const { stdout } = await run(PYTHON, ['-c', block('python')], { cwd: root, env: withClient });
  expect(stdout).toMatch(/^[\d.]+: warming \(7%\)\n$/);
});
