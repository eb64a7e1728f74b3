import { describe, expect, test } from 'vitest';
import { useApi } from '../support.ts';

// Who gets in to the v3 dialect, and how it refuses: in the words and statuses that SendGrid's clients know.

const api = useApi();

const ROUTES = [
  ['GET', '/v3/ips/warmup', 'read'],
  ['POST', '/v3/ips/warmup', 'write'],
  ['GET', '/v3/ips/warmup/192.0.2.7', 'read'],
  ['DELETE', '/v3/ips/warmup/192.0.2.7', 'write'],
  ['POST', '/v3/ips/pools', 'write'],
  ['GET', '/v3/ips/pools', 'read'],
  ['GET', '/v3/ips/pools/x', 'read'],
  ['PUT', '/v3/ips/pools/x', 'write'],
  ['DELETE', '/v3/ips/pools/x', 'write'],
  ['POST', '/v3/ips/pools/x/ips', 'write'],
  ['DELETE', '/v3/ips/pools/x/ips/192.0.2.7', 'write'],
  ['GET', '/v3/ips', 'read'],
  ['POST', '/v3/ips', 'write'],
  ['GET', '/v3/ips/192.0.2.7', 'read'],
  ['GET', '/v3/ips/assigned', 'read'],
  ['GET', '/v3/ips/remaining', 'read'],
  ['GET', '/v3/send_ips/ips', 'read'],
  ['POST', '/v3/send_ips/ips', 'write'],
  ['GET', '/v3/send_ips/ips/192.0.2.7', 'read'],
  ['PATCH', '/v3/send_ips/ips/192.0.2.7', 'write'],
  ['GET', '/v3/send_ips/ips/192.0.2.7/subusers', 'read'],
  ['POST', '/v3/send_ips/ips/192.0.2.7/subusers:batchAdd', 'write'],
  ['POST', '/v3/send_ips/ips/192.0.2.7/subusers:batchDelete', 'write'],
  ['GET', '/v3/send_ips/pools', 'read'],
  ['POST', '/v3/send_ips/pools', 'write'],
  ['GET', '/v3/send_ips/pools/1', 'read'],
  ['PUT', '/v3/send_ips/pools/1', 'write'],
  ['DELETE', '/v3/send_ips/pools/1', 'write'],
  ['GET', '/v3/send_ips/pools/1/ips', 'read'],
  ['POST', '/v3/send_ips/pools/1/ips:batchAdd', 'write'],
  ['POST', '/v3/send_ips/pools/1/ips:batchDelete', 'write'],
] as const;

test.each(ROUTES)(
  '%s %s: no key, a wrong one, one that may not, one that may',
  async (method, path, scope) => {
    const none = await api.askAs(null)(method, path);
    expect({ status: none.status, body: none.body }).toEqual({
      status: 401,
      body: { errors: [{ message: 'authorization required', field: null, help: null }] },
    });
    const unknown = await api.askAs('SG.unknown')(method, path);
    expect({ status: unknown.status, body: unknown.body }).toEqual({
      status: 401,
      body: {
        errors: [
          {
            message: 'The provided authorization grant is invalid, expired, or revoked',
            field: null,
            help: null,
          },
        ],
      },
    });
    const other = scope === 'read' ? 'write' : 'read';
    const forbidden = await api.askAs(await api.key('acct_default', [other]))(method, path);
    expect({ status: forbidden.status, body: forbidden.body }).toEqual(
      path.startsWith('/v3/send_ips')
        ? { status: 401, body: { errors: [{ field: '', message: `missing required scope: ${scope}` }] } }
        : { status: 403, body: { errors: [{ field: null, message: 'access forbidden' }] } },
    );
    // An unknown IP or pool is told in errors, and in send_ips never by 404.
    const allowed = await api.askAs(await api.key('acct_default', [scope]))(method, path);
    expect([401, 403, 405, 500]).not.toContain(allowed.status);
    if (path.startsWith('/v3/send_ips')) expect(allowed.status).not.toBe(404);
    if (allowed.status >= 400) expect(typeof allowed.body.errors[0].message).toBe('string');
  },
);

describe('what is no route', () => {
  test.each([
    ['GET', '/v3/nothing', 404],
    ['GET', '/v3', 404],
    ['GET', '/v3/send_ips', 404],
    ['PATCH', '/v3/ips/pools', 405],
    ['PUT', '/v3/ips/warmup/192.0.2.7', 405],
    ['POST', '/v3/send_ips/pools/1', 405],
    ['GET', '/v3/ips/pools/%zz', 400],
    ['GET', '/v3/ips/pools/%ff', 400],
  ])('%s %s: %i in JSON, and 401 without a key', async (method, path, status) => {
    const answer = await api.ask(method, path);
    expect(answer).toMatchObject({ status, body: { errors: [{ message: expect.any(String) }] } });
    expect(answer.headers['content-type']).toContain('application/json');
    const hidden = await api.askAs(null)(method, path);
    expect([401, 400]).toContain(hidden.status);
    expect(hidden.body.errors[0].message).toEqual(expect.any(String));
  });
});

describe('bodies', () => {
  const notParsed = {
    status: 400,
    body: { errors: [{ field: '', message: 'failed to parse the request body as a JSON payload' }] },
  };
  test.each(['{', 'nonsense', '[]', '"text"', 'null', '7', '', '{"__proto__":{"a":1}}'])(
    '%s is no object: 400 in the words of SendGrid',
    async (body) => {
      for (const [method, path] of ROUTES) {
        if (method !== 'POST' && method !== 'PUT' && method !== 'PATCH') continue;
        const { status, body: answer } = await api.ask(method, path, body);
        expect({ path, status, body: answer }).toEqual({ path, ...notParsed });
      }
    },
  );

  test('that nobody reads are not looked at: GET and DELETE with a type, null, {} or nonsense', async () => {
    const json = { 'content-type': 'application/json' };
    expect((await api.ask('GET', '/v3/ips/pools', undefined, json)).status).toBe(200);
    for (const body of ['null', '{}', '{', '']) {
      await api.ask('POST', '/v3/ips/pools', { name: 'gone soon' });
      expect((await api.ask('DELETE', '/v3/ips/pools/gone%20soon', body, json)).status).toBe(204);
    }
    await api.ask('POST', '/v3/ips/pools', { name: 'gone soon' });
    const plain = { 'content-type': 'text/plain' };
    expect((await api.ask('DELETE', '/v3/ips/pools/gone soon', 'x', plain)).status).toBe(204);
  });

  test('are JSON under any name, and unknown properties are ignored', async () => {
    for (const type of [
      'application/json; charset=utf-8',
      'application/x-www-form-urlencoded',
      'text/plain',
    ]) {
      const name = `as ${type.slice(0, 20)}`;
      const answer = await api.ask('POST', '/v3/ips/pools', { name, more: [1] }, { 'content-type': type });
      expect(answer).toMatchObject({ status: 200, body: { name } });
    }
    const huge = await api.ask('POST', '/v3/ips/pools', { name: 'x'.repeat(2_000_000) });
    expect(huge).toMatchObject({ status: 413, body: { errors: [{ message: expect.any(String) }] } });
  });
});

describe('paths', () => {
  test('with a doubled slash in front, a slash at the end, an encoded colon', async () => {
    const ip = (await api.bring()).address;
    await api.ask('POST', '//v3/ips/pools', { name: 'slashes' });
    expect((await api.ask('GET', '//v3/ips/pools/slashes/')).body).toEqual({ ips: [], pool_name: 'slashes' });
    expect((await api.ask('GET', '/v3/ips/pools/')).status).toBe(200);
    const { id } = (await api.ask('POST', '/v3/send_ips/pools/', { name: 'colons' })).body;
    const added = await api.ask('POST', `/v3/send_ips/pools/${id}/ips%3AbatchAdd`, { ips: [ip] });
    expect(added).toMatchObject({ status: 200, body: { name: 'colons', id, ips: [ip] } });
    expect((await api.ask('POST', `/v3/send_ips/pools/${id}/ips%3abatchDelete/`, { ips: [ip] })).status).toBe(
      204,
    );
  });

  test('name pools with spaces, colons, slashes, percent signs and pluses', async () => {
    const names = ['Test Pool', 'a:b', 'a/b', '100%', 'ünï ✉', 'one+two', 'ips'];
    for (const name of names) {
      expect((await api.ask('POST', '/v3/ips/pools', { name })).status).toBe(200);
      const { body } = await api.ask('GET', `/v3/ips/pools/${encodeURIComponent(name)}`);
      expect(body).toEqual({ ips: [], pool_name: name });
    }
    // As Go's QueryEscape writes it; a literal plus comes first.
    expect((await api.ask('GET', '/v3/ips/pools/Test+Pool')).body.pool_name).toBe('Test Pool');
    await api.ask('POST', '/v3/ips/pools', { name: 'one two' });
    expect((await api.ask('GET', '/v3/ips/pools/one+two')).body.pool_name).toBe('one+two');
  });

  test('the id of a pool is no name here, and its name no id', async () => {
    const pool = (await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'by name only' })).body;
    expect((await api.ask('GET', `/v3/ips/pools/${pool.id}`)).status).toBe(404);
    expect((await api.ask('GET', '/v3/send_ips/pools/by name only')).body.errors).toEqual([
      { field: 'poolid', message: 'must be a numeric value' },
    ]);
  });
});
