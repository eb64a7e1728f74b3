import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { outcomeOf } from './outcome.mjs';
import { inProject, main, SetupProblem, say } from './project.mjs';

/*
 * The pictures of the dashboard in docs/images: each page, wide and on a phone, light and dark. A real Warmline on a test
 * clock is brought to the eleventh day of a small fleet first. Run by hand: `node scripts/screenshots.mjs`.
 */

const KEY = 'wl_screenshots_0123456789';
const IMAGES = inProject('docs', 'images');
const SIZES = {
  wide: { width: 1280, height: 800 },
  phone: { width: 390, height: 844 },
};

await main(async () => {
  const outcome = outcomeOf('browser');
  if (!outcome?.path) throw new SetupProblem('There is no Chromium: run `scripts/setup browser` first.');
  const dataDir = mkdtempSync(join(tmpdir(), 'warmline-screenshots-'));
  const server = spawn(process.execPath, ['--import', 'tsx', inProject('src', 'cli', 'main.ts'), 'serve'], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...process.env,
      ...{ REDIS_URL: '', PORT: '0', WARMLINE_DATA_DIR: dataDir, WARMLINE_API_KEY: KEY, LOG_LEVEL: 'warn' },
      ...{ WARMLINE_TEST_CLOCK: '2026-11-10T08:00:00Z', WARMLINE_RATE_LIMIT: '0', WARMLINE_INVENTORY: '' },
    },
  });
  try {
    const origin = await whereabouts(dataDir, server);
    const { pool, ip } = await makeFleet(origin);
    await takePictures(outcome.path, origin, {
      fleet: '/',
      ip: `/ips/${ip}`,
      pool: `/pools/${pool}`,
      schedules: '/schedules?volume=200000&ips=4',
      held: '/held?of=Newsletters&count=2000',
      confirm: `/ips/${ip}/hold`,
    });
  } finally {
    server.kill('SIGTERM');
    await new Promise((ended) => server.once('exit', ended));
    rmSync(dataDir, { recursive: true, force: true });
  }
});

async function whereabouts(dataDir, server) {
  for (let waited = 0; waited < 60_000 && server.exitCode === null; waited += 100) {
    try {
      return JSON.parse(readFileSync(join(dataDir, 'api.json'), 'utf8')).url;
    } catch {
      await sleep(100);
    }
  }
  throw new SetupProblem('Warmline did not start; it says why above.');
}

/** Two pools that send for ten days, an IP that nobody uses, one on hold, one that rests. */
async function makeFleet(origin) {
  const ask = async (method, path, body) => {
    const response = await fetch(`${origin}${path}`, {
      method,
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? null : response.json();
  };
  await ask('POST', '/v1/inventory', { addresses: ['203.0.113.0/28'] });
  await ask('POST', '/v1/inventory', {
    addresses: ['198.51.100.10', '198.51.100.11', '2001:db8::25'],
    account: 'default',
    status: 'active',
  });
  const named = async (name, isDefault = false) =>
    (await ask('POST', '/v1/dedicated-ips/pools', { name, isDefault })).id;
  const [transactional, newsletters] = [await named('Transactional'), await named('Newsletters')];
  const joinPool = (pool, ip) => ask('POST', `/v1/dedicated-ips/pools/${pool}/ips`, { ipId: ip });
  await joinPool(transactional, '198.51.100.10');
  await joinPool(newsletters, '198.51.100.11');

  const created = [];
  for (let day = 1; day <= 10; day += 1) {
    if (day === 1 || day === 4 || day === 8) {
      for (const pool of [transactional, newsletters]) {
        const { id } = await ask('POST', '/v1/dedicated-ips');
        await ask('POST', `/v1/dedicated-ips/${id}/warmup`, { zone: 'Europe/Berlin' });
        await joinPool(pool, id);
        created.push(id);
      }
    }
    if (day === 6) {
      const { id } = await ask('POST', '/v1/dedicated-ips');
      await ask('POST', `/v1/dedicated-ips/${id}/warmup`, { zone: 'Europe/Berlin' });
      await ask('PATCH', `/v1/dedicated-ips/${id}`, { labels: { team: 'billing' } });
    }
    for (let hour = 0; hour < 12; hour += 1) {
      for (const pool of ['Transactional', 'Newsletters']) {
        const count = (pool === 'Transactional' ? 700 : 1_500) + 40 * hour * (hour % 3);
        await ask('POST', '/v1/quota/take', { pool, count, partial: true });
      }
      await ask('POST', '/v1/test-clock/advance', { by: hour === 11 ? 'PT13H' : 'PT1H' });
    }
  }
  for (let hour = 0; hour < 6; hour += 1) {
    await ask('POST', '/v1/quota/take', { pool: 'Transactional', count: 330, partial: true });
    await ask('POST', '/v1/quota/take', { ip: created[0], count: 260 + 20 * hour, partial: true });
    await ask('POST', '/v1/test-clock/advance', { by: 'PT1H' });
  }
  const { id: spare } = await ask('POST', '/v1/dedicated-ips');
  const { id: gone } = await ask('POST', '/v1/dedicated-ips');
  await ask('DELETE', `/v1/dedicated-ips/${gone}`);
  await ask('POST', `/v1/dedicated-ips/${created[3]}/hold`, { because: 'complaints from one campaign' });
  for (let times = 0; times < 3; times += 1)
    await ask('POST', '/v1/quota/take', { ip: created[3], count: 50 });
  await ask('POST', '/v1/quota/take', { ip: created[5], count: 39, partial: true });
  await ask('POST', '/v1/quota/take', { ip: created[5], count: 12 });
  await ask('POST', '/v1/quota/take', { ip: spare, count: 5 });
  await ask('POST', '/v1/quota/take', { pool: 'Transactional', count: 240, partial: true });
  return { pool: transactional, ip: created[0] };
}

async function takePictures(executablePath, origin, pages) {
  mkdirSync(IMAGES, { recursive: true });
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const colorScheme of ['light', 'dark']) {
        const context = await browser.newContext({
          baseURL: origin,
          viewport,
          colorScheme,
          reducedMotion: 'reduce',
        });
        const page = await context.newPage();
        await page.goto('/sign-in');
        await page.screenshot({ path: join(IMAGES, `sign-in-${size}-${colorScheme}.png`) });
        await page.getByLabel('API key').fill(KEY);
        await page.getByRole('button', { name: 'Sign in' }).click();
        for (const [name, path] of Object.entries(pages)) {
          await page.goto(path);
          if (['fleet', 'ip', 'pool'].includes(name)) await page.locator('.live.on').waitFor();
          const file = join(IMAGES, `${name}-${size}-${colorScheme}.png`);
          await page.screenshot({ path: file, fullPage: size === 'wide' });
        }
        await context.close();
      }
    }
  } finally {
    await browser.close();
  }
  say('The pictures are in docs/images.');
}
