/** What is asked of the API: each request is drawn from the document that the server itself serves. */
import type { ApiDocument, Operation, Parameter } from '../../src/http/openapi.ts';
import {
  BODIES,
  CONTENT_TYPES,
  HEADERS,
  IDEMPOTENCY_KEYS,
  LARGE_BODIES,
  QUERIES,
  SEGMENTS,
  TEXTS,
} from './hostile.ts';
import type { Random } from './random.ts';
import type { Caller, Stage } from './stage.ts';
import { jsonOf, named, type Schema, spoilt, valid, type World } from './values.ts';

export const KINDS = ['valid', 'nearly', 'hostile', 'page', 'form', 'socket'] as const;
export type Kind = (typeof KINDS)[number];

export type Request = {
  kind: Kind;
  caller: Caller;
  method: string;
  /** Path and query, as they go over the wire. */
  url: string;
  headers: Record<string, string>;
  body?: string | Buffer | undefined;
};

export type Route = { method: string; path: string; operation: Operation };

export const routesIn = (document: ApiDocument): Route[] =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );

/** What costs the most, seconds of thinking or half a megabyte of answer, is asked for too, and not all the time. */
const SELDOM = /\/forecast$|\/test-clock\/advance$|\/docs$|\/openapi\.json$|\/metrics$/;

export function drawRoute(routes: readonly Route[], random: Random): Route {
  const route = random.pick(routes);
  return SELDOM.test(route.path) && random.chance(0.9) ? random.pick(routes) : route;
}

/** Who may, mostly; and everybody else now and then. */
export function drawCaller({ operation }: Route, random: Random): Caller {
  const scope = operation['x-scope'];
  if (random.chance(0.1)) return random.pick(['reader', 'mailer', 'stranger', 'nobody', 'owner', 'operator']);
  if (scope === 'admin') return 'operator';
  if (scope === 'nobody') return random.pick(['nobody', 'owner']);
  return random.chance(0.3) ? 'operator' : 'owner';
}

export function worldOf(
  stage: Stage,
  caller: Caller,
  random: Random,
  components: World['components'],
  nowMs: number,
) {
  const own = stage.things[caller === 'operator' ? 'operator' : 'owner'];
  return { random, own, theirs: stage.theirs, components, nowMs };
}

const keyHeader = (stage: Stage, caller: Caller) => {
  const key = stage.keys[caller];
  return key === null ? {} : { authorization: `Bearer ${key}` };
};

export function validRequest(stage: Stage, route: Route, caller: Caller, world: World): Request {
  const { random } = world;
  const { operation, method } = route;
  const schema = operation.requestBody?.content['application/json'].schema;
  const withBody = schema && (operation.requestBody?.required || random.chance(0.8));
  const mayRepeat = operation.parameters?.some(({ name }) => name === 'Idempotency-Key');
  return {
    kind: 'valid',
    caller,
    method,
    url: urlOf(route, world),
    headers: {
      ...keyHeader(stage, caller),
      ...(withBody ? { 'content-type': 'application/json' } : {}),
      ...(mayRepeat && random.chance(0.05)
        ? { 'idempotency-key': random.pick(IDEMPOTENCY_KEYS.slice(0, 3)) }
        : {}),
    },
    body: withBody ? jsonOf(valid(schema as Schema, world)) : undefined,
  };
}

/** `id` names another thing on each route. */
function partOf(path: string, { name }: Parameter, world: World): string {
  if (name === 'id' && path.startsWith('/v1/webhooks')) return named(world, 'webhook');
  if (name === 'id' && path.startsWith('/v1/keys')) return named(world, 'key');
  return String(valid({ type: 'string' }, world, name));
}

function urlOf({ path, operation }: Route, world: World, change?: { name: string; to: string }): string {
  const { random } = world;
  const parameters = operation.parameters ?? [];
  let url = path;
  for (const parameter of parameters.filter((one) => one.in === 'path')) {
    const part = change?.name === parameter.name ? change.to : encode(partOf(path, parameter, world));
    url = url.replace(`{${parameter.name}}`, () => part);
  }
  const query: string[] = [];
  for (const parameter of parameters.filter((one) => one.in === 'query')) {
    const { name, schema, required } = parameter;
    const isChanged = change?.name === name;
    if (!isChanged && !required && !random.chance(0.25)) continue;
    query.push(`${name}=${isChanged ? change.to : encode(String(valid(schema, world, name)))}`);
  }
  return query.length > 0 ? `${url}?${query.join('&')}` : url;
}

/** As clients do; half a character cannot be encoded. */
const encode = (text: string) => {
  const encoded = encodeURIComponent(Buffer.from(text).toString());
  // A dot alone is a step on the way for who puts a URL in order, as `inject` does; sockets send it as it is.
  return /^\.{1,2}$/.test(encoded) ? `${encoded}x` : encoded;
};

/** A valid request but for one thing. */
export function nearlyValid(stage: Stage, route: Route, caller: Caller, world: World): Request {
  const { random } = world;
  const request: Request = { ...validRequest(stage, route, caller, world), kind: 'nearly' };
  const { operation } = route;
  const schema = operation.requestBody?.content['application/json'].schema;
  const parameters = (operation.parameters ?? []).filter((one) => one.in !== 'header');
  const place = random.weighed({ body: schema ? 6 : 0, parameter: parameters.length > 0 ? 3 : 0, extra: 1 });
  if (place === 'body' && schema) {
    request.body = jsonOf(spoilt(valid(schema as Schema, world), random).body);
    request.headers['content-type'] = 'application/json';
  } else if (place === 'parameter') {
    const to = encode(random.pick(TEXTS)).slice(0, 3_000);
    request.url = urlOf(route, world, { name: random.pick(parameters).name, to });
  } else {
    const extra = random.pick(QUERIES);
    request.url += `${request.url.includes('?') ? '&' : '?'}${extra}`;
  }
  return request;
}

/** Broken in itself: the body, its type, a header, the key of a repetition. */
export function hostileRequest(stage: Stage, route: Route, caller: Caller, world: World): Request {
  const { random } = world;
  const request: Request = { ...validRequest(stage, route, caller, world), kind: 'hostile' };
  const what = random.weighed({ body: 5, type: 2, header: 3, repeat: 1, method: 1, secret: 1 });
  if (what === 'body') {
    request.body = random.pick(random.chance(0.1) ? LARGE_BODIES : BODIES);
    request.headers['content-type'] = 'application/json';
  } else if (what === 'type') {
    const type = random.pick(CONTENT_TYPES);
    delete request.headers['content-type'];
    if (type !== null) request.headers['content-type'] = type;
    request.body = random.pick([request.body ?? '{}', random.pick(BODIES)]);
  } else if (what === 'header') {
    const [name, value] = random.pick(HEADERS);
    request.headers[name] = value;
  } else if (what === 'repeat') {
    request.headers['idempotency-key'] = random.pick(IDEMPOTENCY_KEYS);
  } else if (what === 'method') {
    request.method = random.pick(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
  } else {
    // A key where it does not belong: it must not come back, and not get into the log.
    const key = stage.keys[caller] ?? stage.keys.owner!;
    request.url += `${request.url.includes('?') ? '&' : '?'}api_key=${key}`;
    request.headers.authorization = random.pick([`Token ${key}`, `Bearer ${key}x`, `bearer  ${key}`, key]);
  }
  return request;
}

/** A path as nobody writes it, for a socket: nothing on the way there puts it in order. */
export function hostileUrl(route: Route, world: World): string {
  const { random } = world;
  const names = (route.operation.parameters ?? []).filter((one) => one.in === 'path');
  const what = random.weighed({ segment: 4, query: 3, slashes: 1, any: 2 });
  if (what === 'segment' && names.length > 0) {
    return urlOf(route, world, { name: random.pick(names).name, to: random.pick(SEGMENTS) });
  }
  if (what === 'query') return `${urlOf(route, world).split('?', 1)[0]}?${random.pick(QUERIES)}`;
  if (what === 'slashes') {
    const url = urlOf(route, world);
    return random.pick([
      `/${url}`,
      `//${url}`,
      url.replaceAll('/', '//'),
      `${url}/`,
      `${url}//`,
      url.toUpperCase(),
    ]);
  }
  const parts = Array.from({ length: random.int(1, 6) }, () =>
    random.pick([...SEGMENTS, 'v1', 'v3', 'ips', 'pools']),
  );
  return `/${parts.join('/')}`;
}
