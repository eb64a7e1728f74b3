import { describe, expect, test } from 'vitest';
import { signedIn, visitor } from '../dashboard/support.ts';
import { ADMIN_KEY, useApi } from '../http/support.ts';

// What a browser is told it must not do with our answers.

const api = useApi();

const OF_PAGES = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

test('every page has them, signed in or not, found or not, also a redirect and a refusal', async () => {
  const someone = await signedIn(api, ADMIN_KEY);
  const urls = [
    '/',
    '/pools',
    '/schedules',
    '/held',
    '/changes',
    '/ips/new',
    '/stop',
    '/ips/ip_none',
    '/sign-in',
  ];
  for (const who of [someone, visitor(api)]) {
    for (const url of urls) expect((await who.get(url)).headers, url).toMatchObject(OF_PAGES);
  }
  expect((await someone.post('/stop', {})).headers).toMatchObject(OF_PAGES);
  expect((await visitor(api).post('/sign-in', { key: 'wl_nobody_has_this_key' })).headers).toMatchObject(
    OF_PAGES,
  );
});

test('the description of the API is a page, too, with no script at all', async () => {
  const { headers } = await api.askAs(null)('GET', '/docs');
  expect(headers).toMatchObject({
    'content-security-policy': expect.stringMatching(
      /^default-src 'none'; style-src 'sha256-\S+'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    ),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
  });
});

describe('the API', () => {
  test.each([
    ['GET', '/v1/dedicated-ips', ADMIN_KEY, 200],
    ['GET', '/v3/ips/warmup', ADMIN_KEY, 200],
    ['GET', '/v1/keys', ADMIN_KEY, 200],
    ['GET', '/v1/none', ADMIN_KEY, 404],
    ['GET', '/v1/dedicated-ips', null, 401],
    ['GET', '/v1/dedicated-ips', 'wl_nobody_has_this_key', 401],
  ] as const)(
    '%s %s with %s is kept by no cache and shown by no other page (%i)',
    async (method, url, key, status) => {
      const answer = await api.askAs(key)(method, url);
      expect(answer.status).toBe(status);
      expect(answer.headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'cross-origin-resource-policy': 'same-origin',
      });
    },
  );

  test('lets no other origin read it: there is no CORS, not even for who asks first', async () => {
    const asked = { origin: 'https://evil.example', 'access-control-request-method': 'GET' };
    for (const method of ['OPTIONS', 'GET'] as const) {
      const { headers } = await api.app.inject({ method, url: '/v1/dedicated-ips', headers: asked });
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });

  test('says nothing of what it is made with', async () => {
    const { headers } = await api.ask('GET', '/v1/dedicated-ips');
    expect(headers).not.toHaveProperty('server');
    expect(headers).not.toHaveProperty('x-powered-by');
  });
});

describe('a session', () => {
  test('is never the one that came with the request: an id that somebody else has planted opens nothing', async () => {
    const planted = `warmline_session=${'p'.repeat(43)}`;
    const signed = await visitor(api, planted).post('/sign-in', { key: ADMIN_KEY });
    expect(String(signed.headers['set-cookie'])).not.toContain('ppp');
    expect((await visitor(api, planted).get('/')).status).toBe(303);
    const again = await visitor(api).post('/sign-in', { key: ADMIN_KEY });
    expect(again.headers['set-cookie']).not.toBe(signed.headers['set-cookie']);
  });
});
