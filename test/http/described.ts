/** Every answer that a test gets is held against what `/openapi.json` says about it: field by field, and no field more. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { FastifyInstance } from 'fastify';
import type { ApiDocument, Operation } from '../../src/http/openapi.ts';

type Json = { [key: string]: unknown };
type Described = {
  document: ApiDocument;
  operations: { method: string; path: string; pattern: RegExp; operation: Operation }[];
  validatorOf(schema: Json): ValidateFunction;
};

const byApp = new WeakMap<FastifyInstance, Promise<Described>>();

export function describedBy(app: FastifyInstance): Promise<Described> {
  let described = byApp.get(app);
  if (!described) {
    described = read(app);
    byApp.set(app, described);
  }
  return described;
}

async function read(app: FastifyInstance): Promise<Described> {
  const document = (await app.inject({ url: '/openapi.json' })).json() as ApiDocument;
  const ajv = new Ajv2020({ allErrors: true, strict: false });
  addFormats.default(ajv);
  // For clients an answer may grow; here a field that nobody described is a mistake.
  ajv.addSchema(closed({ components: document.components }) as Json, 'api');
  const compiled = new Map<string, ValidateFunction>();
  return {
    document,
    operations: Object.entries(document.paths)
      .flatMap(([path, item]) =>
        Object.entries(item).map(([method, operation]) => ({
          method: method.toUpperCase(),
          path,
          pattern: new RegExp(
            `^${path.replace(/[.+*?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '[^/]+')}/?$`,
          ),
          operation,
        })),
      )
      // A path that is written out comes before one with a part of that name.
      .sort((a, b) => a.path.split('{').length - b.path.split('{').length),
    validatorOf(schema) {
      const text = JSON.stringify(closed(schema)).replaceAll('"#/components', '"api#/components');
      let validate = compiled.get(text);
      if (!validate) {
        validate = ajv.compile(JSON.parse(text) as Json);
        compiled.set(text, validate);
      }
      return validate;
    },
  };
}

function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const copy: Json = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  if (copy.type === 'object' && copy.properties && copy.additionalProperties === undefined) {
    copy.additionalProperties = false;
  }
  return copy;
}

/** What is wrong with an answer, by the document; empty when all is well, and where the route is not described. */
export async function mistakesIn(
  app: FastifyInstance,
  { method, url, status, body }: { method: string; url: string; status: number; body: string },
): Promise<string[]> {
  const { operations, validatorOf } = await describedBy(app);
  const path = url.split('?', 1)[0]!;
  const found = operations.find((one) => one.method === method && one.pattern.test(path));
  if (!found) return [];
  const at = `${method} ${found.path} answered ${status}`;
  const answer = found.operation.responses[status];
  // What the server, and not a route, says about a request: a method that is unknown, a body that nothing asked for.
  if (!answer)
    return [400, 401, 403, 404, 405, 413, 414, 415, 500].includes(status)
      ? []
      : [`${at}, which is not described`];
  if (!('content' in answer) || !answer.content) return body === '' ? [] : [`${at} with a body`];
  const { schema } = answer.content['application/json'] ?? {};
  if (!schema) return []; // a page, a text
  const validate = validatorOf(schema);
  if (validate(JSON.parse(body))) return [];
  return validate.errors!.map(
    ({ instancePath, message, params }) => `${at}: ${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
