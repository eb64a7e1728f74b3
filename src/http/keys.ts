/** API keys: made and ended by the operator. The answer that makes one is the only place where it is ever shown. */
import type { FastifyInstance } from 'fastify';
import { DateTime, Duration } from 'luxon';
import { z } from 'zod';
import {
  createApiKey,
  DEFAULT_PREFIX,
  DEFAULT_SCOPES,
  type ListedKey,
  pageOfApiKeys,
  revokeApiKey,
  SCOPES,
} from '../fleet/api-keys.ts';
import { nowOf } from '../fleet/engine.ts';
import { invalid } from '../warmup/errors.ts';
import { anyText, instant, instantOrNull, list, oneOf, parse, parseQuery, text } from '../wire/parse.ts';
import { pageShape } from '../wire/shapes.ts';
import { PageQuery, page } from '../wire/v1.ts';
import type { Context } from './context.ts';
import { cursorAfter, readCursor } from './cursor.ts';
import type { RouteDocs } from './openapi.ts';

const CreateBody = z.strictObject({
  account: text(64).describe('Name or id of the account that the key is for.'),
  scopes: list(oneOf(SCOPES), SCOPES.length, 'scopes')
    .optional()
    .describe(
      `What the key may do; ${DEFAULT_SCOPES.join(', ')} unless said. \`admin\` is for keys of the account \`default\`.`,
    ),
  prefix: anyText('a text of 1 to 20 characters')
    .optional()
    .describe(
      `What the key begins with, for clients that insist on it (\`SG.\`, \`veil_live_\`); \`${DEFAULT_PREFIX}\` unless said.`,
    ),
  name: anyText('a text of 1 to 64 characters').nullable().optional().describe('What people call it.'),
  expires: anyText('an ISO 8601 instant, or a duration from now (example: P90D)')
    .nullable()
    .optional()
    .describe('An ISO 8601 instant, or a duration from now (`P90D`); never unless said.'),
  poolIps: oneOf(['strings', 'objects'])
    .optional()
    .describe('How `GET /v3/ips/pools/{pool_name}` shows IPs to this key; `strings` unless said.'),
});

const ListQuery = PageQuery.extend({
  account: text(64).optional().describe('Only those of this account, by its name or id.'),
});

const ListedShape = z
  .strictObject({
    id: z.string(),
    account: z.string().describe('The name of its account.'),
    accountId: z.string(),
    name: z.string().nullable(),
    prefix: z.string().describe('What the key begins with.'),
    last4: z.string().describe('What it ends with.'),
    scopes: z.array(z.enum(SCOPES)),
    poolIps: z.enum(['strings', 'objects']),
    createdAt: z.string(),
    expiresAt: z.string().nullable(),
    lastUsedAt: z.string().nullable().describe('To the minute, about.'),
  })
  .meta({ id: 'ApiKey', description: 'An API key, without the key itself.' });
const CreatedShape = ListedShape.extend({
  key: z.string().describe('The key, shown this once.'),
}).meta({ id: 'NewApiKey', description: 'A key that was just made. It is shown this once.' });

const CREATE: RouteDocs = {
  summary: 'Make an API key',
  description: 'The key is shown in this answer and never again. `Idempotency-Key` is ignored here.',
  id: 'createApiKey',
  body: CreateBody,
  answers: { 201: CreatedShape },
  refusals: [404, 409],
  example: { account: 'acme', scopes: ['read', 'send'], expires: 'P90D' },
};
const LIST: RouteDocs = {
  summary: 'List API keys',
  description: 'In the order in which they were made, without the keys themselves.',
  id: 'listApiKeys',
  query: ListQuery,
  answers: { 200: pageShape('ApiKeyPage', ListedShape) },
  refusals: [404],
};
const REVOKE: RouteDocs = {
  summary: 'Revoke an API key',
  description: 'It is refused within a second everywhere.',
  id: 'revokeApiKey',
  params: z.object({ id: z.string().describe('The id of a key.') }),
  answers: { 204: null },
  refusals: [409],
};

export function registerKeys(app: FastifyInstance, { engine }: Context): void {
  app.post('/v1/keys', { config: { scope: 'admin', docs: CREATE } }, async (request, reply) => {
    const { expires, ...given } = parse(CreateBody, request.body);
    const expiresAtMs = expires == null ? null : instantOf(expires, await nowOf(engine));
    const { key, apiKey, account } = await createApiKey(engine, { ...given, expiresAtMs });
    const listed = { ...apiKey, accountName: account.name, lastUsedAtMs: null };
    return reply.code(201).send({ ...keyOf(listed), key });
  });

  app.get('/v1/keys', { config: { scope: 'admin', docs: LIST } }, async (request) => {
    const { limit, cursor, account } = parseQuery(ListQuery, request.query);
    const afterPlace = cursor === undefined ? 0 : readCursor(cursor).atMs;
    const { apiKeys, more } = await pageOfApiKeys(engine, { account, limit, afterPlace });
    const last = apiKeys.at(-1);
    return page(apiKeys.map(keyOf), more && last ? cursorAfter(last.place, last.id) : null);
  });

  app.delete<{ Params: { id: string } }>(
    '/v1/keys/:id',
    { config: { scope: 'admin', docs: REVOKE } },
    async (request, reply) => {
      await revokeApiKey(engine, request.params.id);
      return reply.code(204).send();
    },
  );
}

const keyOf = ({ id, account, accountName, name, prefix, last4, scopes, poolIps, ...at }: ListedKey) => ({
  id,
  account: accountName,
  accountId: account,
  name,
  prefix,
  last4,
  scopes,
  poolIps,
  createdAt: instant(at.createdAtMs),
  expiresAt: instantOrNull(at.expiresAtMs),
  lastUsedAt: instantOrNull(at.lastUsedAtMs),
});

/** A key that lives longer than anybody who knows what it was for has been made by a slip of the pen. */
const MOST_YEARS = 100;

function instantOf(expires: string, nowMs: number): number {
  const now = DateTime.fromMillis(nowMs, { zone: 'UTC' });
  const hasZone = /T.*(Z|[+-]\d\d(:?\d\d)?)$/i.test(expires);
  const at = /^P/i.test(expires)
    ? now.plus(Duration.fromISO(expires))
    : DateTime.fromISO(hasZone ? expires : '', { setZone: true });
  const ms = at.toMillis();
  if (!(Number.isFinite(ms) && ms <= now.plus({ years: MOST_YEARS }).toMillis())) {
    throw invalid(
      'expires',
      `expires is "${expires.slice(0, 60)}"; it must be an ISO 8601 instant with Z or an offset, or a duration from now (example: P90D), within ${MOST_YEARS} years`,
    );
  }
  // PT1.33333M has 79 999.8 of them.
  return Math.floor(ms);
}
