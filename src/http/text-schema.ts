/**
 * The schema of an answer as fast-json-stringify wants it, which Fastify writes answers with: nothing to look up, `null` as
 * a mark of its own, and the texts known that need no escaping. It writes; what is right is said by the shape alone.
 */
import { z } from 'zod';

type Json = { [key: string]: unknown };

/** @param plain the names of texts that never hold a quote, a backslash or a letter beyond ASCII */
export function textSchemaOf(shape: z.ZodType, plain: readonly string[] = []): Json {
  const { $defs = {}, ...schema } = z.toJSONSchema(shape, {
    io: 'output',
    unrepresentable: 'any',
  }) as Json & {
    $defs?: Record<string, Json>;
  };
  return flatten(schema, $defs, plain);
}

function flatten(schema: Json, defs: Record<string, Json>, plain: readonly string[]): Json {
  const { $ref, anyOf, type, properties, items, additionalProperties } = schema;
  const inner = (one: unknown) => flatten(one as Json, defs, plain);
  if (typeof $ref === 'string') return inner(defs[$ref.slice('#/$defs/'.length)]);
  if (Array.isArray(anyOf)) return eitherOf(anyOf.map(inner));
  if (type === 'array') return { type, items: inner(items) };
  if (type !== 'object') return { type };
  if (!properties) return { type, additionalProperties: additionalProperties ?? true };
  return {
    type,
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, one]) => [
        name,
        plain.includes(name) ? { ...inner(one), format: 'unsafe' } : inner(one),
      ]),
    ),
  };
}

/** Of several objects it is one with the fields of all, since what is not there is not written. */
function eitherOf(choices: Json[]): Json {
  const some = choices.filter(({ type }) => type !== 'null');
  const nullable = some.length < choices.length ? { nullable: true } : {};
  if (some.length === 1) return { ...some[0], ...nullable };
  if (some.some(({ properties }) => !properties)) throw new Error('only objects may differ in an answer');
  const properties = Object.assign({}, ...some.map((one) => one.properties));
  return { type: 'object', properties, ...nullable };
}
