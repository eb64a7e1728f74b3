/**
 * The API described by itself: `GET /openapi.json` is made from the routes as they are registered and from the schemas
 * that parse their requests. A room describes a route beside it, in its config:
 *
 *     app.get('/v3/ips/remaining', { config: { docs: { summary: 'How many IPs can be added', answers: { 200: Remaining } } } }, ...)
 */
import { createRequire } from 'node:module';
import type { FastifyContextConfig, FastifyInstance, RouteOptions } from 'fastify';
import { z } from 'zod';
import { ErrorAnswer, ErrorAnswerV3 } from '../wire/errors.ts';
import { heedsIdempotencyKey } from './idempotency.ts';

export type RouteDocs = {
  /** What it does, in one short sentence without a full stop. */
  summary: string;
  /** What else is worth knowing. */
  description?: string;
  /** Which chapter it belongs to. Unless said: by its path. */
  group?: string;
  /** `createDedicatedIp`. Unless said: made of the method and the path. */
  id?: string;
  /** Of the parts of the path; those that are not described here are texts. */
  params?: z.ZodObject;
  /** The schema that parses the query. */
  query?: z.ZodObject;
  /** The schema that parses the body. */
  body?: z.ZodType;
  /** By status; `null` has no body. */
  answers: Readonly<Record<number, z.ZodType | null>>;
  /** Statuses of refusals besides those that every route of its kind has; `409` for instance. */
  refusals?: readonly number[];
  /** Of the answers, where they are not JSON. */
  contentType?: string;
  /** A body that works, for the examples. */
  example?: unknown;
};

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What `/openapi.json` and `/docs` say about this route. */
    docs?: RouteDocs;
  }
}

type Scope = NonNullable<FastifyContextConfig['scope']>;

export type ListedRoute = {
  method: string;
  /** As the document writes it: `/v1/dedicated-ips/{id}`. */
  path: string;
  scope: Scope;
  docs: RouteDocs | null;
};

/** Lists the routes as they are registered; to be called before the first of them. */
export function collectRoutes(app: FastifyInstance): ListedRoute[] {
  const routes: ListedRoute[] = [];
  app.addHook('onRoute', ({ method, url, config }: RouteOptions) => {
    for (const one of [method].flat()) {
      if (one === 'HEAD') continue; // comes with its GET
      routes.push({
        method: one,
        path: pathOf(url),
        scope: config?.scope ?? (one === 'GET' ? 'read' : 'write'),
        docs: config?.docs ?? null,
      });
    }
  });
  return routes;
}

/** `/a/:id/ips::batchAdd` in Fastify's spelling is `/a/{id}/ips:batchAdd` in the document's. */
const pathOf = (url: string) =>
  url.replace(/::|:(\w+)(\([^)]*\))?/g, (_, name) => (name === undefined ? ':' : `{${name}}`));

export function registerOpenApi(app: FastifyInstance, routes: readonly ListedRoute[]): void {
  let text: string | undefined;
  app.get(
    '/openapi.json',
    {
      config: {
        scope: 'nobody',
        quiet: true,
        docs: {
          summary: 'This description of the API, in OpenAPI 3.1',
          id: 'describeApi',
          answers: { 200: z.looseObject({}) },
        },
      },
    },
    async (_request, reply) => {
      // Once all rooms have registered; then it never changes.
      text ??= JSON.stringify(describeApi(routes), null, 2);
      return reply.type('application/json; charset=utf-8').send(text);
    },
  );
}

type Json = { [key: string]: unknown };

export type Operation = {
  operationId: string;
  summary: string;
  description?: string;
  tags: string[];
  security?: Json[];
  parameters?: Parameter[];
  requestBody?: { required: boolean; content: { 'application/json': { schema: Json; example?: unknown } } };
  responses: Record<
    string,
    { description: string; content?: Record<string, { schema: Json }> } | { $ref: string }
  >;
  'x-scope': Scope;
};
export type Parameter = {
  name: string;
  in: 'path' | 'query' | 'header';
  required: boolean;
  description?: string;
  schema: Json;
};
export type ApiDocument = {
  openapi: string;
  info: Json & { title: string; version: string; description: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json> } & Json;
} & Json;

/** In the order of the chapters; the first whose prefix fits has the route. */
const GROUPS: [name: string, description: string, prefix: RegExp][] = [
  ['Quota', 'Ask before every send: take, give back, and look.', /^\/v1\/quota|^\/v1\/.*\/quota$/],
  [
    'Pools',
    'Names for groups of IPs, so that one kind of mail does not harm another.',
    /^\/v1\/dedicated-ips\/pools/,
  ],
  ['Dedicated IPs', 'From the inventory through the warm-up to active, and back.', /^\/v1\/dedicated-ips/],
  ['Changes', 'Everything that happened in the account, in order.', /^\/v1\/changes/],
  ['Webhooks', 'Be told what happens, instead of asking.', /^\/v1\/webhooks/],
  ['Inventory', 'The addresses of the operator that accounts take from.', /^\/v1\/inventory/],
  ['Accounts and keys', 'Who owns IPs, and who may ask.', /^\/v1\/(accounts|keys)/],
  ['Test clock', 'Moves the time of a test installation.', /^\/v1\/test-clock/],
  ['SendGrid: warm-up', 'The v3 dialect of IP warm-up.', /^\/v3\/ips\/warmup/],
  ['SendGrid: IP pools', 'The v3 dialect of pools, by name.', /^\/v3\/ips\/pools/],
  ['SendGrid: IPs', 'The v3 dialect of IPs.', /^\/v3\/ips/],
  ['SendGrid: IP management', 'The v3 dialect of IPs and pools, by id.', /^\/v3\//],
  ['Operations', 'Is it there, can it serve, and what does it know.', /^\//],
];

export function describeApi(routes: readonly ListedRoute[]): ApiDocument {
  const schemas = new Map<string, Json>();
  const paths: ApiDocument['paths'] = {};
  for (const route of routes) {
    if (!route.docs) continue;
    paths[route.path] ??= {};
    paths[route.path]![route.method.toLowerCase()] = operationOf(route, route.docs, schemas);
  }
  schemaOf(ErrorAnswer, 'output', schemas);
  const used = new Set(
    Object.values(paths).flatMap((item) => Object.values(item).flatMap(({ tags }) => tags)),
  );
  return {
    openapi: '3.1.1',
    info: {
      title: 'Warmline',
      version: version(),
      description:
        'Warms up dedicated e-mail IPs: how much each may send, at every moment, exactly. Instants are ISO 8601 in UTC; -1 is unlimited; the paths under /v3 speak the dialect of SendGrid.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'Where this document came from.' }],
    tags: GROUPS.filter(([name]) => used.has(name)).map(([name, description]) => ({ name, description })),
    security: [{ apiKey: [] }],
    paths,
    components: {
      schemas: Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        apiKey: {
          type: 'http',
          scheme: 'bearer',
          description: 'An API key. Its scopes say what it may do: read, send, write, admin.',
        },
      },
    },
  };
}

/** By the package's own name, because this file lies one folder deeper once it is built. */
const version = () =>
  (createRequire(import.meta.url)('warmline/package.json') as { version: string }).version;

function operationOf({ method, path, scope }: Omit<ListedRoute, 'docs'>, docs: RouteDocs, schemas: Schemas) {
  const operation: Operation = {
    operationId: docs.id ?? operationIdOf(method, path),
    summary: docs.summary,
    ...(docs.description === undefined ? {} : { description: docs.description }),
    tags: [docs.group ?? GROUPS.find(([, , prefix]) => prefix.test(path))![0]],
    ...(scope === 'nobody' ? { security: [] } : {}),
    ...parametersOf(method, path, docs, schemas),
    ...bodyOf(docs, schemas),
    responses: answersOf(method, path, scope, docs, schemas),
    'x-scope': scope,
  };
  return operation;
}

/** `POST /v3/send_ips/pools/{poolid}/ips:batchAdd` is `postV3SendIpsPoolsByPoolidIpsBatchAdd`. */
const operationIdOf = (method: string, path: string) =>
  method.toLowerCase() +
  path
    .replace(/\{(\w+)\}/g, 'by-$1')
    .split(/\W|_/)
    .filter(Boolean)
    .map((word) => word[0]!.toUpperCase() + word.slice(1))
    .join('');

const OF_PATH: Record<string, string> = {
  id: 'The id of an IP, or its address in any spelling.',
  ipId: 'The id of an IP, or its address in any spelling.',
  poolId: 'The id of a pool, or its name.',
};

const IDEMPOTENCY_KEY: Parameter = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'Chosen by the client, new for each new request. Sent again with it, the request is answered again and does nothing twice, for 24 hours.',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
};

function parametersOf(method: string, path: string, { params, query }: RouteDocs, schemas: Schemas) {
  const described = params ? propertiesOf(params, schemas) : {};
  const parameters: Parameter[] = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => {
    const { description = OF_PATH[name!], ...schema } = described[name!]?.schema ?? { type: 'string' };
    return { name: name!, in: 'path', required: true, ...sentence(description), schema };
  });
  for (const [name, { schema: given, required }] of Object.entries(
    query ? propertiesOf(query, schemas) : {},
  )) {
    const { description, ...schema } = given;
    parameters.push({ name, in: 'query', required, ...sentence(description), schema });
  }
  if (heedsIdempotencyKey(method, path)) parameters.push(IDEMPOTENCY_KEY);
  return parameters.length > 0 ? { parameters } : {};
}

const sentence = (description: unknown) => (typeof description === 'string' ? { description } : {});

function propertiesOf(
  schema: z.ZodObject,
  schemas: Schemas,
): Record<string, { schema: Json; required: boolean }> {
  const { properties = {}, required = [] } = schemaOf(schema, 'input', schemas) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.fromEntries(
    Object.entries(properties).map(([name, one]) => [
      name,
      { schema: one, required: required.includes(name) },
    ]),
  );
}

function bodyOf({ body, example }: RouteDocs, schemas: Schemas): Pick<Operation, 'requestBody'> {
  if (!body) return {};
  const schema = schemaOf(body, 'input', schemas);
  // An object without any field is only there to refuse fields: nothing needs to be sent.
  if (schema.properties && Object.keys(schema.properties as Json).length === 0) return {};
  const required = !body.safeParse(undefined).success;
  const shown = example === undefined ? {} : { example };
  return { requestBody: { required, content: { 'application/json': { schema, ...shown } } } };
}

const REFUSALS: Record<number, string> = {
  400: 'The request is not valid.',
  401: 'No key, or one that nobody has.',
  403: 'The key lacks the scope.',
  404: 'There is no such thing in this account.',
  409: 'What is there now forbids it.',
  413: 'The body is larger than 1 MiB.',
  415: 'The body is not JSON.',
  422: 'A value is wrong; `param` names it.',
  429: 'Too many requests; `Retry-After` says when to come back.',
  500: 'Something went wrong inside.',
  503: 'Redis does not answer; try again in a moment.',
};

function answersOf(
  method: string,
  path: string,
  scope: ListedRoute['scope'],
  { answers, refusals = [], query, body, contentType = 'application/json' }: RouteDocs,
  schemas: Schemas,
): Operation['responses'] {
  const responses: Operation['responses'] = {};
  for (const [status, schema] of Object.entries(answers)) {
    responses[status] = {
      description: Number(status) === 204 ? 'Done; there is no body.' : (REFUSALS[Number(status)] ?? 'Done.'),
      ...(schema ? { content: { [contentType]: { schema: schemaOf(schema, 'output', schemas) } } } : {}),
    };
  }
  const isV3 = path.startsWith('/v3/');
  const usual = [
    ...(scope === 'nobody' ? [] : [401, 403, 429, 503]),
    // In its newer family v3 says 400 of what is not there, and 422 in neither.
    ...(path.includes('{') && !path.startsWith('/v3/send_ips/') ? [404] : []),
    ...(isV3 ? [400] : query || body ? [422] : []),
    ...(body && method !== 'GET' ? [400, 413, 415] : []),
    ...(heedsIdempotencyKey(method, path) ? [409, ...(isV3 ? [] : [422])] : []),
  ];
  const error = schemaOf(isV3 ? ErrorAnswerV3 : ErrorAnswer, 'output', schemas);
  for (const status of [...new Set([...usual, ...refusals])].sort((a, b) => a - b)) {
    responses[status] ??= {
      description: REFUSALS[status] ?? 'Refused.',
      content: { 'application/json': { schema: error } },
    };
  }
  return responses;
}

type Schemas = Map<string, Json>;

/**
 * In JSON Schema, with everything that has an id (`.meta({ id })`) as a component. What goes out may have more fields one
 * day, so only what comes in is closed.
 */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', schemas: Schemas): Json {
  const {
    $schema: _,
    $defs = {},
    ...rest
  } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      if (io === 'output' && jsonSchema.additionalProperties === false)
        delete jsonSchema.additionalProperties;
      // A number in a query is a text to the parser and a number to everybody else.
      if (jsonSchema.type === 'integer' || jsonSchema.type === 'boolean') delete jsonSchema.pattern;
      // What zod says of every whole number says nothing.
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  }) as Json & { $defs?: Record<string, Json> };
  for (const [id, definition] of Object.entries($defs)) {
    const shown = pointed(definition);
    const known = schemas.get(id);
    if (known && JSON.stringify(known) !== JSON.stringify(shown)) {
      throw new Error(`two schemas are called ${id}; give one of them another id in its meta`);
    }
    schemas.set(id, shown);
  }
  return pointed(rest);
}

const pointed = (schema: Json): Json =>
  JSON.parse(JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/'));
