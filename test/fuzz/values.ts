/** Values made from the schemas of `/openapi.json`: valid ones, and ones that are wrong in a single place. */
import { TEXTS, VALUES } from './hostile.ts';
import type { Random } from './random.ts';
import type { Things } from './stage.ts';

export type Schema = { [key: string]: unknown };

/** JSON that JSON.stringify could not write: a number of 400 digits, a name that comes twice. */
export class RawJson {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export function jsonOf(value: unknown): string {
  if (value instanceof RawJson) return value.text;
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, one]) => one !== undefined);
    return `{${members.map(([name, one]) => `${JSON.stringify(name)}:${jsonOf(one)}`).join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

export type World = {
  random: Random;
  /** What the caller has seen, and what belongs to somebody else. */
  own: Things;
  theirs: Things;
  /** The schemas that are named in the document. */
  components: Readonly<Record<string, Schema>>;
  /** Engine time, about. */
  nowMs: number;
};

const NOTHING_SEEN: Partial<Record<keyof Things, string>> = {
  ip: 'ip_0000000000000000000000000',
  address: '198.51.100.7',
  pool: 'pool_00000000000000000000000',
  poolName: 'marketing',
  poolNumber: '1',
  webhook: 'wh_0',
  key: 'key_0',
};

/** Something of this kind: mostly one's own, now and then somebody else's, or what there is not. */
export function named({ random, own, theirs }: World, kind: keyof Things): string {
  const from = random.weighed({ own: 12, theirs: 1, nothing: 1 });
  const list = from === 'own' ? own[kind] : from === 'theirs' ? theirs[kind] : [];
  return list.length > 0 ? random.pick(list) : (NOTHING_SEEN[kind] ?? 'x');
}

const ADDRESSES = Array.from({ length: 96 }, (_, n) => `203.0.113.${n}`);
const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu'];
const POOL_NAMES = ['marketing', 'receipts', 'news letter', 'Пул', 'a/b', 'trailing%20', 'x'.repeat(64)];

/** Good texts for a field, by its name: a schema does not say all that a field has to be. */
function textFor(name: string, world: World): string | undefined {
  const { random } = world;
  const anIp = () => named(world, random.chance(0.5) ? 'ip' : 'address');
  const aPool = () => named(world, random.chance(0.5) ? 'pool' : 'poolName');
  const makers: Record<string, () => string> = {
    id: anIp,
    ipId: anIp,
    ip: () => (random.chance(0.8) ? named(world, 'address') : anIp()),
    ips: () => named(world, 'address'),
    ip_address: () => named(world, 'address'),
    among: anIp,
    address: () => named(world, 'address'),
    addresses: () => random.pick(ADDRESSES),
    pool: aPool,
    poolId: aPool,
    poolid: () => named(world, 'poolNumber'),
    pool_name: () => named(world, 'poolName'),
    name: () => random.pick(POOL_NAMES),
    account: () => random.pick(['default', 'astray', 'subuser-one']),
    parent: () => random.pick(['default', 'astray']),
    subusers: () => random.pick(['subuser-one', '2', '3', 'nobody']),
    subuser: () => random.pick(['subuser-one', 'nobody']),
    receipt: () => named(world, 'receipt'),
    cursor: () => named(world, 'cursor'),
    since: () => named(world, 'cursor'),
    after_key: () => named(world, 'cursor'),
    before_key: () => named(world, 'cursor'),
    zone: () => random.pick(ZONES),
    plan: () => random.pick(['fourteen-day', 'sendgrid-hourly', 'fourteen-day+sendgrid-hourly']),
    dayStartsAt: () => random.pick(['start', '04:00', '00:00', '23:59']),
    by: () => random.pick(['PT1S', 'PT1M', 'PT1H', 'PT7H', 'P1D', 'P1D', 'P3D']),
    to: () => random.pick(['example.com', 'gmail.com']),
    from: () => random.pick(['example.org', 'mail.example']),
    url: () => random.pick(['https://hooks.example/a', 'http://127.0.0.1:9/b', 'https://[::1]/c']),
    region: () => random.pick(['eu', 'us']),
    hostname: () => random.pick(['mta1.example.com', 'mta2.example.com']),
    bind: () => random.pick(['10.0.0.1', '10.0.0.2']),
    label: () => random.pick(['team', 'team:billing']),
    prefix: () => random.pick(['wl_', 'SG.', 'veil_live_']),
    limit: () => String(random.int(1, 20)),
    offset: () => String(random.int(0, 20)),
  };
  return makers[name]?.();
}

/** A value that the schema allows. @param name of the field, for what the schema does not say */
export function valid(schema: Schema, world: World, name = ''): unknown {
  const { random, components } = world;
  const { $ref, anyOf, enum: choices, type, format, pattern } = schema;
  if (typeof $ref === 'string') return valid(components[$ref.split('/').at(-1)!]!, world, name);
  if (Array.isArray(anyOf)) return valid(random.pick(anyOf as Schema[]), world, name);
  if (Array.isArray(choices)) return random.pick(choices);
  switch (Array.isArray(type) ? random.pick(type as string[]) : type) {
    case 'object':
      return validObject(schema, world);
    case 'array': {
      const { minItems = 0, maxItems = 4 } = schema as { minItems?: number; maxItems?: number };
      const length = random.chance(0.02)
        ? Math.min(maxItems, 40)
        : random.int(minItems, Math.min(maxItems, minItems + 3));
      return Array.from({ length }, () => valid(schema.items as Schema, world, name));
    }
    case 'integer':
    case 'number':
      return validNumber(schema, random);
    case 'boolean':
      return random.chance(0.5);
    case 'null':
      return null;
    default: {
      if (format === 'date-time')
        return new Date(world.nowMs + random.int(-3, 40) * random.int(0, 86_400_000)).toISOString();
      const text =
        textFor(name, world) ?? random.pick(['a', 'team', 'some text', '1', '2026-01-10T10:00:00Z']);
      return typeof pattern === 'string' && !new RegExp(pattern, 'u').test(text) ? '1' : text;
    }
  }
}

function validNumber(schema: Schema, random: Random): number {
  const {
    minimum = 0,
    maximum = 1_000,
    type,
  } = schema as { minimum?: number; maximum?: number; type: string };
  if (type === 'number') return random.pick([minimum, maximum, (minimum + maximum) / 2]);
  // Small ones do the most; the edges are where mistakes are.
  return random.weighed({ small: 8, edge: 2, any: 1 }) === 'small'
    ? Math.min(maximum, minimum + random.int(0, 20))
    : random.pick([minimum, maximum, random.int(minimum, maximum)]);
}

function validObject(schema: Schema, world: World): Record<string, unknown> {
  const { properties = {}, required = [] } = schema as {
    properties?: Record<string, Schema>;
    required?: string[];
  };
  const made: Record<string, unknown> = {};
  for (const [name, one] of Object.entries(properties)) {
    if (required.includes(name) || world.random.chance(0.4)) made[name] = valid(one, world, name);
  }
  if (Object.keys(properties).length === 0 && schema.additionalProperties) made.team = 'billing';
  return made;
}

/** A value of another kind, another length, another alphabet. */
export const wrongValue = (random: Random): unknown =>
  random.chance(0.6) ? random.pick(TEXTS) : new RawJson(random.pick(VALUES));

/** A body with one thing wrong in it, and which. */
export function spoilt(body: unknown, random: Random): { body: unknown; how: string } {
  const copy = structuredClone(body);
  const places = objectsIn(copy);
  if (places.length === 0) return { body: wrongValue(random), how: 'another body' };
  const place = random.pick(places);
  const names = Object.keys(place);
  const how = names.length === 0 ? 'extra' : random.weighed({ wrong: 6, missing: 2, extra: 2, twice: 1 });
  const name = names.length === 0 ? '' : random.pick(names);
  if (how === 'wrong') place[name] = wrongValue(random);
  else if (how === 'missing') delete place[name];
  else if (how === 'extra' && Array.isArray(place)) place.push(wrongValue(random));
  else if (how === 'extra') add(place, random.pick(TEXTS), wrongValue(random));
  else {
    const member = `${JSON.stringify(name)}:${jsonOf(place[name])}`;
    place[name] = new RawJson(`${jsonOf(place[name])},${member}`);
  }
  return { body: copy, how: `${how} ${name.slice(0, 40)}` };
}

/** Also a member that is called `__proto__`, to which no value can be assigned. */
const add = (to: object, name: string, value: unknown) =>
  Object.defineProperty(to, name, { value, enumerable: true, configurable: true, writable: true });

/** All objects and lists inside a value, itself too. */
function objectsIn(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value as Record<string, unknown>, ...Object.values(value).flatMap(objectsIn)];
}
