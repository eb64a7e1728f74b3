import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN_KEY, type Api, startApi } from '../http/support.ts';
import { BROWSER, expectAccessible, launch, openPage, signIn } from './browser.ts';

/** The dashboard as a person meets it, in real Chromium: with its policy, its scripts and its live stream. */

describe.skipIf(BROWSER.because !== undefined)('in Chromium', () => {
  let api: Api;
  let origin: string;
  let browser: Browser;

  beforeAll(async () => {
    api = await startApi();
    origin = await api.app.listen({ host: '127.0.0.1', port: 0 });
    await api.ask('POST', '/v1/inventory', { addresses: ['203.0.113.0/29'] });
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await api?.stop();
  });

  test('from signing in to a release: every step by its button, the bar moves while a sender takes, a denial is explained', async () => {
    const { page, wrongs } = await openPage(browser, origin);
    const press = (name: string) => page.getByRole('button', { name, exact: true }).click();
    const go = (name: string) => page.getByRole('link', { name, exact: true }).first().click();

    await page.goto('/');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await expectAccessible(page, 'signing in');
    await signIn(page, ADMIN_KEY);
    await page.getByText('No IP yet').waitFor();
    await expectAccessible(page, 'an empty fleet');

    await go('Request an IP');
    await expectAccessible(page, 'a confirmation');
    await press('Request it');
    await page.getByText('It sends nothing until its warm-up is started.').waitFor();
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('203.0.113.0');
    await page.getByText('Denied now').waitFor();

    await go('Start the warm-up');
    await page.getByText('day 1 allows 50 sends, at most 20 an hour').waitFor();
    await expectAccessible(page, 'the form of a start');
    await press('Start the warm-up');
    await page.getByText('The warm-up has begun').waitFor();
    await page.getByText('Sends now').waitFor();

    // A sender takes while the page is open.
    await page.goto('/');
    await page.getByText('Live', { exact: true }).waitFor();
    const today = page.locator('[data-cell="day"]');
    const fill = today.locator('.fill');
    expect(await today.textContent()).toContain('0 of 50');
    expect(await fill.getAttribute('width')).toBe('0.00');
    const take = (count: number) => api.ask('POST', '/v1/quota/take', { ip: '203.0.113.0', count });
    await take(8);
    await page.getByText('8 of 50').waitFor();
    expect(await fill.getAttribute('width')).toBe('16.00');
    await take(12);
    await page.getByText('20 of 50').waitFor();
    await page.getByText("this hour's cap of 20 is used up").waitFor();
    await expectAccessible(page, 'the fleet');

    expect((await take(5)).body).toMatchObject({ allowed: false });
    await go('Held');
    await page.getByRole('row', { name: /203\.0\.113\.0/ }).waitFor();
    const row = await page.getByRole('row', { name: /203\.0\.113\.0/ }).textContent();
    expect(row).toContain('the hourly cap is used up');
    expect(row).toContain("this hour's cap of 20 is used up; again in");
    await expectAccessible(page, 'what is held');

    await go('203.0.113.0');
    await page.locator('.uplot canvas').nth(1).waitFor();
    await page.getByText('By day, as a table').click();
    expect(await page.getByRole('row', { name: /^Day 1 / }).textContent()).toMatch(/50.*50.*20$/s);
    await expectAccessible(page, 'one IP');

    await go('Release');
    await page.getByText('It has sent 20 so far').waitFor();
    await press('Release');
    await page.getByText('Released: it sends nothing any more').waitFor();
    await page.getByRole('link', { name: 'Restore' }).waitFor();
    await go('Changes');
    await page.getByText('the IP was released').waitFor();
    await expectAccessible(page, 'the changes');

    await press('Sign out');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.goto('/pools');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(wrongs).toEqual([]);
    await page.context().close();
  });

  test('pools, schedules and the dry run: without a violation, in the dark and on a phone too', async () => {
    const ip = await api.warming();
    await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Transactional', isDefault: true });
    const { body: pools } = await api.ask('GET', '/v1/dedicated-ips/pools');
    const pool = pools.data[0].id;
    await api.ask('POST', `/v1/dedicated-ips/pools/${pool}/ips`, { ipId: ip.id });
    const paths = [
      '/',
      '/pools',
      `/pools/${pool}`,
      `/pools/${pool}/hold`,
      '/schedules?volume=20000#dry-run',
      '/held',
      '/changes',
      `/ips/${ip.id}`,
    ];
    for (const options of [
      { colorScheme: 'dark' as const },
      { colorScheme: 'light' as const, viewport: { width: 390, height: 844 } },
    ]) {
      const { page, wrongs } = await openPage(browser, origin, options);
      await signIn(page, ADMIN_KEY);
      for (const path of paths) {
        await page.goto(path);
        await expectAccessible(page, `${path} ${JSON.stringify(options)}`);
        const [inner, scroll] = (await page.evaluate(
          '[document.documentElement.clientWidth, document.documentElement.scrollWidth]',
        )) as [number, number];
        expect(scroll, `${path} is no wider than its window`).toBeLessThanOrEqual(inner);
      }
      expect(wrongs).toEqual([]);
      await page.context().close();
    }
  });

  test('without a script everything can be read and pressed, with the keyboard alone', async () => {
    const ip = await api.warming();
    const { page } = await openPage(browser, origin, { javaScriptEnabled: false });
    await page.goto(`/ips/${ip.id}`);
    await page.keyboard.press('Tab');
    await page.getByLabel('API key').focus();
    await page.keyboard.type(ADMIN_KEY);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: ip.address }).waitFor();
    await page.keyboard.press('Tab');
    expect(await page.locator(':focus').textContent()).toBe('Skip to the content');
    await page.getByRole('link', { name: 'Hold', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.getByLabel('Why').focus();
    await page.keyboard.type('complaints');
    await page.keyboard.press('Enter');
    await page.getByText('No mail and no progress: complaints').waitFor();
    await page.getByText('By day, as a table').click();
    await page.getByRole('cell', { name: '50', exact: true }).first().waitFor();
    await page.context().close();
  });
});
