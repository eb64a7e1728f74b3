/** Debian's Chromium, as `scripts/setup browser` has provided it; a machine that can have none says why. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';

type Outcome = { path?: string; because?: string };

function outcome(): Outcome {
  const file = new URL('../../.cache/browser.json', import.meta.url);
  return existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Outcome)
    : { because: 'nobody has run `scripts/setup browser`, which provides Chromium' };
}

/** Where the browser is; else `because` says in a sentence why the tests in it are skipped. */
export const BROWSER = outcome();
if (BROWSER.because) process.stderr.write(`The tests in a browser are skipped: ${BROWSER.because}.\n`);

export const launch = (): Promise<Browser> =>
  // Nothing but our own pages is opened, and in a container there is no user namespace to shut it into.
  chromium.launch({ executablePath: BROWSER.path!, args: ['--no-sandbox', '--disable-gpu'] });

/** A page that notes what must not be: words on the console, and requests that leave the origin. */
export async function openPage(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; wrongs: string[] }> {
  const context = await browser.newContext({ baseURL: origin, ...options });
  const page = await context.newPage();
  const wrongs: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') wrongs.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => wrongs.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) wrongs.push(`request to ${url}`);
  });
  return { page, wrongs };
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.goto('/sign-in');
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Fleet' }).waitFor();
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds wrong. Evaluated by the debugger, which the policy of the page does not bind. */
export async function expectAccessible(page: Page, what: string): Promise<void> {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: axe is there by the line above
    const { violations } = await (globalThis as any).axe.run();
    return (violations as { id: string; nodes: { html: string; failureSummary: string }[] }[]).flatMap(
      ({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} (${failureSummary})`),
    );
  });
  expect(found, what).toEqual([]);
}
