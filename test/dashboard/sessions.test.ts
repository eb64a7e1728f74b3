import { describe, expect, test } from 'vitest';
import { replaceEnvironmentKey } from '../../src/fleet/api-keys.ts';
import { createPool } from '../../src/fleet/pools.ts';
import { ADMIN_KEY, useNewApi } from '../http/support.ts';
import { signedIn, visitor } from './support.ts';

/** Who may see the dashboard, who may press, and when a session is over. */

const api = useNewApi();
const PAGES = ['/', '/ips/new', '/stop', '/pools', '/pools/new', '/schedules', '/held', '/changes'];

describe('signing in', () => {
  test('sets a cookie that no script reads and no other site sends', async () => {
    const { status, to, headers } = await visitor(api).post('/sign-in', { key: ADMIN_KEY });
    expect([status, to]).toEqual([303, '/']);
    expect(headers['set-cookie']).toMatch(
      /^warmline_session=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    const behindTls = await visitor(api).post(
      '/sign-in',
      { key: ADMIN_KEY },
      { 'x-forwarded-proto': 'https' },
    );
    expect(behindTls.headers['set-cookie']).toMatch(/; Secure$/);
  });

  test('keeps neither the key nor the id of the session in Redis, and both end by themselves', async () => {
    const { cookie } = await signedIn(api, ADMIN_KEY);
    const [name] = await api.redis.keys('warmline:{session}:*');
    const kept = await api.redis.get(name!);
    expect(`${name} ${kept}`).not.toContain(cookie.split('=')[1]);
    expect(kept).not.toContain(ADMIN_KEY);
    const endsInMs = await api.redis.pttl(name!);
    expect(endsInMs).toBeGreaterThan(11 * 3_600_000);
    expect(endsInMs).toBeLessThanOrEqual(12 * 3_600_000);
  });

  test('leads back to the page that was asked for, and to no other place', async () => {
    const asked = await visitor(api).get('/schedules?volume=1000');
    expect([asked.status, asked.to]).toEqual([303, '/sign-in?next=%2Fschedules%3Fvolume%3D1000']);
    const back = await visitor(api).post('/sign-in', { key: ADMIN_KEY, next: '/schedules?volume=1000' });
    expect(back.to).toBe('/schedules?volume=1000');
    for (const next of [
      '//evil.example',
      '/\\evil.example',
      'https://evil.example',
      '/\t/evil.example',
      '/no header holds ☃',
      '/☃',
    ]) {
      expect((await visitor(api).post('/sign-in', { key: ADMIN_KEY, next })).to).toBe('/');
    }
  });

  test('with a wrong key fails, ten times a minute, and then nobody from there may try', async () => {
    const { app } = api;
    const from = (remoteAddress: string, key: string) =>
      app.inject({
        method: 'POST',
        url: '/sign-in',
        remoteAddress,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: new URLSearchParams({ key }).toString(),
      });
    for (let tries = 0; tries < 10; tries += 1) {
      const wrong = await from('192.0.2.1', 'wl_nobody_has_this_key');
      expect([wrong.statusCode, wrong.headers['set-cookie']]).toEqual([401, undefined]);
      expect(wrong.body).toContain('There is no such key');
    }
    const tooMany = await from('192.0.2.1', ADMIN_KEY);
    expect(tooMany.statusCode).toBe(429);
    expect(Number(tooMany.headers['retry-after'])).toBeGreaterThan(0);
    expect((await from('192.0.2.2', ADMIN_KEY)).statusCode).toBe(303);
  });

  test('from a form of another site is refused', async () => {
    const elsewhere = [
      { 'sec-fetch-site': 'cross-site' },
      { origin: 'https://evil.example', host: 'warmline' },
    ];
    for (const headers of elsewhere) {
      expect(
        (await visitor(api).post('/sign-in', { key: ADMIN_KEY }, headers as Record<string, string>)).status,
      ).toBe(403);
    }
  });
});

describe('without a session', () => {
  test('no page is shown, no button works, nothing is told', async () => {
    for (const url of [...PAGES, '/ips/ip_1', '/pools/pool_1']) {
      const { status, to, body } = await visitor(api).get(url);
      expect([url, status, to.startsWith('/sign-in'), body]).toEqual([url, 303, true, '']);
    }
    expect((await visitor(api).get('/live?ips=ip_1')).status).toBe(401);
    for (const url of ['/ips/new', '/ips/ip_1/release', '/pools/new', '/stop']) {
      expect((await visitor(api).post(url, {})).status).toBe(401);
    }
    expect((await visitor(api, `warmline_session=${'a'.repeat(43)}`).get('/')).status).toBe(303);
  });

  test('the API is as it was: JSON, and a key in its header', async () => {
    expect((await api.askAs(null)('GET', '/v1/dedicated-ips')).status).toBe(401);
    expect((await api.ask('GET', '/v1/nothing')).body.error.code).toBe('not_found');
    const { cookie } = await signedIn(api, ADMIN_KEY);
    expect((await api.askAs(null)('GET', '/v1/dedicated-ips', undefined, { cookie })).status).toBe(401);
    expect((await api.ask('GET', '/openapi.json')).body.paths).not.toHaveProperty('/held');
  });
});

describe('a session', () => {
  test('ends with its key: revoked, or another one in the environment', async () => {
    const key = await api.key('acct_default', ['read', 'write']);
    const someone = await signedIn(api, key);
    const operator = await signedIn(api, ADMIN_KEY);
    await api.revoke(key);
    expect((await someone.get('/')).status).toBe(303);
    expect((await operator.get('/')).status).toBe(200);
    await replaceEnvironmentKey(api.engine, 'wl_test_another_0123456789');
    expect((await operator.get('/')).status).toBe(303);
  });

  test('ends by signing out, for whoever has copied the cookie too', async () => {
    const someone = await signedIn(api, ADMIN_KEY);
    const { status, to, headers } = await someone.press('/sign-out');
    expect([status, to]).toEqual([303, '/sign-in']);
    expect(headers['set-cookie']).toContain('Max-Age=0');
    expect((await someone.get('/')).status).toBe(303);
  });

  test('of a key that reads sees every page and no button, and cannot press', async () => {
    const ip = await api.warming();
    const reader = await signedIn(api, await api.key('acct_default', ['read']));
    for (const url of [...PAGES.filter((one) => !/new|stop/.test(one)), `/ips/${ip.id}`]) {
      const { status, body } = await reader.get(url);
      expect([url, status]).toEqual([url, 200]);
      expect(body.match(/<form[^>]*method="post"[^>]*>/g)).toEqual([
        '<form method="post" action="/sign-out">',
      ]);
      expect(body).not.toContain(`/ips/${ip.id}/hold`);
    }
    const pressed = await reader.press(`/ips/${ip.id}/release`);
    expect(pressed.status).toBe(403);
    expect(pressed.body).toContain('This key may look and not change');
    expect((await api.ask('GET', `/v1/dedicated-ips/${ip.id}`)).body.status).toBe('warming');
  });

  test('of a key that only sends sees nothing', async () => {
    const sender = await signedIn(api, await api.key('acct_default', ['send']));
    expect((await sender.get('/')).status).toBe(403);
  });

  test('of one account does not see what another has', async () => {
    const ip = await api.warming();
    const pool = await createPool(api.tenant, { name: 'Ours' });
    const other = await api.house('acme');
    const acme = await signedIn(api, await api.key(other.tenant.account.id, ['read', 'write']));
    expect((await acme.get('/')).body).toContain('No IP yet');
    for (const url of [`/ips/${ip.id}`, `/ips/${ip.address}`, `/ips/${ip.id}/hold`, `/pools/${pool.id}`]) {
      expect([url, (await acme.get(url)).status]).toEqual([url, 404]);
    }
    expect((await acme.press(`/ips/${ip.id}/hold`)).status).toBe(404);
  });

  test('a form without its token, or from another site, does nothing', async () => {
    const ip = await api.warming();
    const someone = await signedIn(api, ADMIN_KEY);
    const another = await signedIn(api, ADMIN_KEY);
    const [, token = ''] = /name="csrf" value="([^"]+)"/.exec((await another.get('/')).body) ?? [];
    for (const [fields, headers] of [
      [{}, {}],
      [{ csrf: 'guessed' }, {}],
      [{ csrf: token }, {}],
    ] as [Record<string, string>, Record<string, string>][]) {
      expect((await someone.post(`/ips/${ip.id}/release`, fields, headers)).status).toBe(403);
    }
    const own = /name="csrf" value="([^"]+)"/.exec((await someone.get('/')).body)![1]!;
    const elsewhere = { 'sec-fetch-site': 'same-site' };
    expect((await someone.post(`/ips/${ip.id}/release`, { csrf: own }, elsewhere)).status).toBe(403);
    expect((await someone.post(`/ips/${ip.id}/release`, { csrf: own })).status).toBe(303);
  });
});

describe('what is sent to the browser', () => {
  test('may load nothing from elsewhere and run nothing that stands in the page', async () => {
    const ip = await api.warming();
    const someone = await signedIn(api, ADMIN_KEY);
    for (const url of [...PAGES, `/ips/${ip.id}`, `/ips/${ip.id}/start`, '/ips/ip_none', '/sign-in']) {
      const { headers, body } = await someone.get(url);
      const policy = String(headers['content-security-policy']);
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(policy).not.toContain('unsafe');
      expect(headers['cache-control']).toBe('no-store');
      expect(headers['x-request-id']).toMatch(/./);
      expect(body).not.toMatch(/<script(?![^>]* src="\/assets\/)|<style|\sstyle=|\son\w+=|https?:\/\//);
    }
  });

  test('is escaped, whatever it is called and why ever it is held', async () => {
    const evil = `"><script>alert(1)</script>`;
    const ip = await api.warming();
    const someone = await signedIn(api, ADMIN_KEY);
    const made = await someone.press('/pools/new', { name: evil });
    await someone.press(`${made.to.split('?')[0]}/add`, { ip: ip.address });
    await someone.press(`/ips/${ip.id}/hold`, { because: evil });
    for (const url of [
      '/',
      '/pools',
      made.to,
      `/ips/${ip.id}`,
      '/changes',
      `/held?of=${encodeURIComponent(evil)}`,
      `/?q=${encodeURIComponent(evil)}`,
      `/?did=${encodeURIComponent(evil)}`,
    ]) {
      const { status, body } = await someone.get(url);
      expect([url, status]).toEqual([url, 200]);
      expect(body).not.toContain('<script>alert');
    }
  });

  test('styles and scripts have a name for each content, and may be kept for good', async () => {
    const { body } = await visitor(api).get('/sign-in');
    const [, css = ''] = /href="(\/assets\/dashboard\.[0-9a-f]{12}\.css)"/.exec(body) ?? [];
    const { status, headers } = await visitor(api).get(css);
    expect([status, headers['content-type']]).toEqual([200, 'text/css; charset=utf-8']);
    expect(headers['cache-control']).toContain('immutable');
  });
});
