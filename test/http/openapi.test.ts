import { Validator } from '@seriousme/openapi-schema-validator';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ApiDocument } from '../../src/http/openapi.ts';
import { describedBy } from './described.ts';
import { routesOfApi } from './routes.ts';
import { useApi } from './support.ts';

// The API describes itself. Every answer in every test of the API is held against this document too (`support.ts`).

const api = useApi();
let document: ApiDocument;
beforeAll(async () => {
  document = (await describedBy(api.app)).document;
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  );

describe('the document', () => {
  test('is valid OpenAPI 3.1', async () => {
    const result = await new Validator().validate(structuredClone(document));
    expect(result.errors ?? []).toEqual([]);
    expect(result.valid).toBe(true);
    expect(document.openapi).toMatch(/^3\.1\./);
  });

  test('is there for everybody, as JSON', async () => {
    const answer = await api.askAs(null)('GET', '/openapi.json');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
  });

  test('has every route that exists, and no other', () => {
    const there = routesOfApi(api.app);
    expect(there.length).toBeGreaterThan(25);
    const described = operations().map(({ name }) => name);
    const missing = there.filter((name) => !described.includes(name));
    expect(missing, 'give these routes a `docs` in their config: { summary, answers }').toEqual([]);
    expect(described.filter((name) => !there.includes(name))).toEqual([]);
  });

  test('names each operation once, in one sentence, in a chapter', () => {
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const tags = document.tags.map(({ name }) => name);
    for (const { name, operation } of operations()) {
      expect(operation.operationId, name).toMatch(/^[a-z][A-Za-z0-9]+$/);
      expect(operation.summary, name).toMatch(/^[A-Z][^\n]{5,99}[^.]$/);
      expect(tags, name).toContain(operation.tags[0]);
      expect(operation.tags, name).toHaveLength(1);
    }
  });

  test('says of every parameter what it is, and of every path which parts it has', () => {
    for (const [path, item] of Object.entries(document.paths)) {
      for (const [method, { parameters = [] }] of Object.entries(item)) {
        const name = `${method} ${path}`;
        const parts = [...path.matchAll(/\{(\w+)\}/g)].map(([, part]) => part);
        expect(
          parameters.filter((one) => one.in === 'path').map((one) => one.name),
          name,
        ).toEqual(parts);
        for (const one of parameters) expect(one.description, `${name} ${one.name}`).toMatch(/^.{3,}\.$/);
      }
    }
  });

  test('says how to get in, and where nobody asks', () => {
    expect(document.security).toEqual([{ apiKey: [] }]);
    const open = operations().filter(({ operation }) => operation.security?.length === 0);
    expect(open.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['GET /healthz', 'GET /openapi.json']),
    );
    for (const { name, operation } of operations()) {
      if (operation['x-scope'] === 'nobody') continue;
      expect(operation.responses, name).toHaveProperty('401');
      expect(operation.responses, name).toHaveProperty('403');
    }
  });

  test('promises the clients of v3 no status that they never get', () => {
    for (const { name, operation } of operations()) {
      if (!name.includes(' /v3/')) continue;
      expect(operation.responses, name).not.toHaveProperty('422');
      if (name.includes(' /v3/send_ips/')) expect(operation.responses, name).not.toHaveProperty('404');
    }
  });

  test('has a component for everything that comes again, and no reference that leads nowhere', () => {
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining([
        'DedicatedIp',
        'DedicatedIpPage',
        'Error',
        'Pool',
        'TakeAnswer',
        'TakeRequest',
      ]),
    );
    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(document.components.schemas).toHaveProperty([name!]);
    }
    expect(text).not.toContain('#/$defs');
  });

  test('shows examples that its own schemas allow', async () => {
    const { validatorOf } = await describedBy(api.app);
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      for (const example of (schema.examples as unknown[] | undefined) ?? []) {
        const validate = validatorOf(schema);
        expect(validate(example), `${name}: ${JSON.stringify(validate.errors)}`).toBe(true);
      }
    }
    for (const { name, operation } of operations()) {
      const { schema, example } = operation.requestBody?.content['application/json'] ?? {};
      if (!schema || example === undefined) continue;
      const validate = validatorOf(schema);
      expect(validate(example), `${name}: ${JSON.stringify(validate.errors)}`).toBe(true);
    }
  });
});

// What is described is what validates: each refuses a field that the description does not have.
describe('one source', () => {
  const inV1 = () => operations().filter(({ name }) => name.includes(' /v1/'));
  const urlOf = (path: string) =>
    path
      .replace('{id}', '192.0.2.7')
      .replace('{ipId}', '192.0.2.7')
      .replace(/\{\w+\}/g, 'x');

  test('every described body refuses what is not described', async () => {
    for (const { name, operation } of inV1()) {
      if (!operation.requestBody) continue;
      const [method, path] = name.split(' ') as [string, string];
      const answer = await api.ask(method, urlOf(path), { noSuchField: 1 });
      expect(answer.status, name).toBe(422);
      expect(answer.body.error.param, name).toBe('noSuchField');
    }
  });

  test('every described query refuses what is not described', async () => {
    for (const { name, operation } of inV1()) {
      if (!operation.parameters?.some((one) => one.in === 'query')) continue;
      const [method, path] = name.split(' ') as [string, string];
      const answer = await api.ask(method, `${urlOf(path)}?noSuchParameter=1`);
      expect(answer.status, name).toBe(422);
      expect(answer.body.error.param, name).toBe('noSuchParameter');
    }
  });
});
