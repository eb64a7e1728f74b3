import { describe, expect, test } from 'vitest';
import { startApi, useNewApi } from './support.ts';

// Webhooks over HTTP: made, shown without their secret, changed, ended; each account has its own.

const api = useNewApi();
const EXAMPLE = { url: 'https://example.com/warmline' };
const make = async (given: object = EXAMPLE) => {
  const { status, body } = await api.ask('POST', '/v1/webhooks', given);
  expect(status, JSON.stringify(body)).toBe(201);
  return body;
};

test('a secret is shown in the answer that makes it, and nowhere else', async () => {
  const answer = await api.ask('POST', '/v1/webhooks', {
    ...EXAMPLE,
    events: ['ip.quota_used', 'ip.status_changed'],
    description: 'the dashboard',
  });
  const { secret, ...shown } = answer.body;
  expect(answer.status).toBe(201);
  expect(answer.headers['cache-control']).toBe('no-store');
  expect(secret).toMatch(/^whsec_[\w-]{43}$/);
  expect(shown).toEqual({
    id: expect.stringMatching(/^hook_\w+$/),
    url: 'https://example.com/warmline',
    events: ['ip.status_changed', 'ip.quota_used'],
    description: 'the dashboard',
    enabled: true,
    disabledBecause: null,
    failingSince: null,
    createdAt: '2026-01-10T10:00:00Z',
    updatedAt: '2026-01-10T10:00:00Z',
  });
  const list = await api.ask('GET', '/v1/webhooks');
  expect(list.body).toEqual({ data: [shown], hasMore: false, nextCursor: null });
  expect((await api.ask('GET', `/v1/webhooks/${shown.id}`)).body).toEqual(shown);
});

test('a secret is not kept with the answer of a request that may be repeated', async () => {
  const headers = { 'idempotency-key': 'once' };
  const first = await api.ask('POST', '/v1/webhooks', EXAMPLE, headers);
  const second = await api.ask('POST', '/v1/webhooks', EXAMPLE, headers);
  expect(second.body.id).not.toBe(first.body.id);
  expect(await api.redis.keys('*request*')).toEqual([]);
});

test('a new secret is shown once as well', async () => {
  const { id, secret } = await make();
  const { status, body, headers } = await api.ask('POST', `/v1/webhooks/${id}/rotate-secret`);
  expect(status).toBe(200);
  expect(headers['cache-control']).toBe('no-store');
  expect(body.secret).not.toBe(secret);
  expect(JSON.stringify((await api.ask('GET', `/v1/webhooks/${id}`)).body)).not.toContain('whsec');
});

test('it is changed, switched off and on, and deleted', async () => {
  const { id } = await make();
  const patch = async (body: object) => (await api.ask('PATCH', `/v1/webhooks/${id}`, body)).body;
  expect(await patch({ url: 'https://example.org/x#part', events: ['ip.hold_changed'] })).toMatchObject({
    url: 'https://example.org/x',
    events: ['ip.hold_changed'],
    enabled: true,
  });
  expect(await patch({ enabled: false })).toMatchObject({
    enabled: false,
    disabledBecause: 'switched off by hand',
  });
  expect((await api.ask('POST', `/v1/webhooks/${id}/test`)).status).toBe(409);
  expect(await patch({ enabled: true, description: 'again' })).toMatchObject({
    enabled: true,
    disabledBecause: null,
    description: 'again',
  });
  expect((await api.ask('DELETE', `/v1/webhooks/${id}`)).status).toBe(204);
  expect((await api.ask('DELETE', `/v1/webhooks/${id}`)).status).toBe(404);
  for (const [method, path, body] of [
    ['GET', ''],
    ['PATCH', '', {}],
    ['POST', '/test'],
    ['POST', '/rotate-secret'],
    ['GET', '/deliveries'],
  ] as const) {
    expect((await api.ask(method, `/v1/webhooks/${id}${path}`, body)).status, `${method} ${path}`).toBe(404);
  }
});

test('twenty are enough, also when they are made at once', async () => {
  const answers = await Promise.all(
    Array.from({ length: 25 }, () => api.ask('POST', '/v1/webhooks', EXAMPLE)),
  );
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(20);
  const refused = answers.find(({ status }) => status === 409)!;
  expect(refused.body.error.message).toBe('an account has at most 20 webhooks; delete one first');
});

test('a test waits for a worker, and no more than twenty do', async () => {
  const { id } = await make();
  for (let n = 0; n < 20; n += 1) {
    expect((await api.ask('POST', `/v1/webhooks/${id}/test`)).status).toBe(202);
  }
  expect((await api.ask('POST', `/v1/webhooks/${id}/test`)).status).toBe(409);
  expect((await api.ask('GET', `/v1/webhooks/${id}/deliveries`)).body.data).toEqual([]);
});

describe('who may', () => {
  test('each account sees its own, and a key needs the scope', async () => {
    await api.ask('POST', '/v1/accounts', { name: 'acme' });
    const account = (await api.ask('GET', '/v1/accounts/acme')).body.id;
    const { id } = await make();
    const writer = api.askAs(await api.key(account, ['read', 'write']));
    expect((await writer('GET', '/v1/webhooks')).body.data).toEqual([]);
    expect((await writer('GET', `/v1/webhooks/${id}`)).status).toBe(404);
    expect((await writer('DELETE', `/v1/webhooks/${id}`)).status).toBe(404);
    expect((await writer('POST', '/v1/webhooks', EXAMPLE)).status).toBe(201);
    const reader = api.askAs(await api.key(account, ['read']));
    expect((await reader('GET', '/v1/webhooks')).body.data).toHaveLength(1);
    expect((await reader('POST', '/v1/webhooks', EXAMPLE)).status).toBe(403);
    expect((await api.askAs(null)('GET', '/v1/webhooks')).status).toBe(401);
  });
});

test.each([
  ['no URL', {}, 'url'],
  ['no URL at all', { url: 'example.com' }, 'url'],
  ['another protocol', { url: 'ftp://example.com/x' }, 'url'],
  ['no TLS', { url: 'http://example.com/x' }, 'url'],
  ['a password', { url: 'https://me:secret@example.com/x' }, 'url'],
  ['a private address', { url: 'https://192.168.1.1/x' }, 'url'],
  ['loopback in other digits', { url: 'https://0x7f000001/x' }, 'url'],
  ['a URL without end', { url: `https://example.com/${'x'.repeat(2_000)}` }, 'url'],
  ['an event that nobody knows', { ...EXAMPLE, events: ['ip.born'] }, 'events.0'],
  ['no event', { ...EXAMPLE, events: [] }, 'events'],
  ['an unknown field', { ...EXAMPLE, secret: 'mine' }, 'secret'],
])('refused: %s', async (_, given, param) => {
  const before = await api.dump();
  const { status, body } = await api.ask('POST', '/v1/webhooks', given);
  expect(status, JSON.stringify(body)).toBe(422);
  expect(body.error.param).toBe(param);
  expect(JSON.stringify(body)).not.toContain('me:secret');
  expect(await api.dump()).toEqual(before);
});

test('an operator may allow what is inside', async () => {
  const inside = await startApi({ api: { webhooksMayBePrivate: true } });
  try {
    const { status } = await inside.ask('POST', '/v1/webhooks', { url: 'http://10.0.0.9:8080/hook' });
    expect(status).toBe(201);
  } finally {
    await inside.stop();
  }
});
