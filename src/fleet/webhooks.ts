/**
 * Webhooks: addresses of an account that are told what happens. Here they are kept; `webhook-events.ts` makes the events,
 * and the worker sends them. The secret of each is kept as it is, since it signs: a hash could not. It is shown by the call
 * that makes it, and by no other.
 */
import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { z } from 'zod';
import { webhookKeys } from '../redis/keys.ts';
import { isPublicAddress } from '../runtime/post.ts';
import { instantMs } from '../warmup/dedicated-ip.ts';
import { conflict, invalid, notFound } from '../warmup/errors.ts';
import {
  type Delivery,
  EVENTS,
  type EventType,
  MOST_DELIVERIES,
  MOST_WEBHOOKS,
  SIGNATURE_HEADER,
  signatureOf,
  type WebhookEvent,
} from '../wire/webhooks.ts';
import { retryWhenContended } from './change.ts';
import { nowIn, type Tenant } from './engine.ts';

export const Webhook = z.object({
  id: z.string(),
  url: z.string(),
  events: z.array(z.enum(EVENTS)),
  description: z.string().nullable(),
  enabled: z.boolean(),
  disabledBecause: z.string().nullable(),
  secret: z.string(),
  /** The one before, which signs beside it for a while. Real time. */
  oldSecret: z.string().nullable(),
  oldSecretUntilMs: instantMs,
  /** The id of the last change of the account before it was made or switched on: it is told what comes after. */
  after: z.string(),
  createdAtMs: instantMs,
  updatedAtMs: instantMs,
});
export type Webhook = z.infer<typeof Webhook>;
export type WebhookState = Webhook & { failingSinceMs: number | null };

/** So long a receiver has time to learn a new secret. */
const OLD_SECRET_MS = 24 * 3_600_000;
/** After so long without one attempt that got through a webhook is switched off. */
export const FAILS_FOR_MS = 3 * 24 * 3_600_000;

const newSecret = () => `whsec_${randomBytes(32).toString('base64url')}`;

export type NewWebhook = {
  url: string;
  events?: readonly (typeof EVENTS)[number][] | undefined;
  description?: string | null | undefined;
};

/** @throws WarmlineError `invalid` (param `url`), `conflict` when there are enough */
export async function createWebhook(
  tenant: Tenant,
  { url, events = EVENTS, description = null }: NewWebhook,
  { allowPrivate }: { allowPrivate: boolean },
): Promise<Webhook> {
  const { engine, keys, account } = tenant;
  const [nowMs, after] = await Promise.all([nowIn(tenant), lastChange(tenant)]);
  const webhook: Webhook = {
    id: engine.newId('hook'),
    url: checkUrl(url, allowPrivate),
    events: EVENTS.filter((event) => events.includes(event)),
    description,
    enabled: true,
    disabledBecause: null,
    secret: newSecret(),
    oldSecret: null,
    oldSecretUntilMs: 0,
    after,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
  // Before the webhook, which lives in another slot: an account that is looked at in vain costs a look.
  await engine.scripts.redis.sadd(webhookKeys.accounts, account.id);
  const outcome = await engine.scripts.run('webhook-put', [
    keys.webhooks,
    webhook.id,
    '',
    JSON.stringify(webhook),
    MOST_WEBHOOKS,
  ]);
  if (outcome === 'full')
    throw conflict(`an account has at most ${MOST_WEBHOOKS} webhooks; delete one first`);
  return webhook;
}

export type WebhookChange = {
  url?: string | undefined;
  events?: readonly (typeof EVENTS)[number][] | undefined;
  description?: string | null | undefined;
  enabled?: boolean | undefined;
};

/** Changes what is given. */
export async function updateWebhook(
  tenant: Tenant,
  id: string,
  { url, events, description, enabled }: WebhookChange,
  { allowPrivate }: { allowPrivate: boolean },
): Promise<Webhook> {
  const checked = url === undefined ? null : checkUrl(url, allowPrivate);
  const after = await lastChange(tenant);
  const webhook = await change(tenant, id, (before) => {
    const goesOn = enabled === true && !before.enabled;
    return {
      ...before,
      url: checked ?? before.url,
      events: events ? EVENTS.filter((event) => events.includes(event)) : before.events,
      description: description === undefined ? before.description : description,
      enabled: enabled ?? before.enabled,
      disabledBecause:
        enabled === undefined ? before.disabledBecause : enabled ? null : 'switched off by hand',
      after: goesOn ? after : before.after,
    };
  });
  // A new address, or a new beginning, starts with a clean slate.
  if (checked !== null || enabled === true) await noteSuccess(tenant, id);
  return webhook;
}

/** A new secret; the one before signs beside it for a day, so that no event is refused meanwhile. */
export const rotateSecret = (tenant: Tenant, id: string, realNowMs = Date.now()): Promise<Webhook> => {
  const secret = newSecret();
  return change(tenant, id, (before) => ({
    ...before,
    secret,
    oldSecret: before.secret,
    oldSecretUntilMs: realNowMs + OLD_SECRET_MS,
  }));
};

const secretsOf = ({ secret, oldSecret, oldSecretUntilMs }: Webhook, realNowMs: number): string[] =>
  oldSecret !== null && realNowMs < oldSecretUntilMs ? [secret, oldSecret] : [secret];

/** What goes with a body, signed now. */
export const headersFor = (webhook: Webhook, event: WebhookEvent, body: string, realNowMs: number) => ({
  'content-type': 'application/json',
  'user-agent': 'Warmline-Webhooks/1',
  [SIGNATURE_HEADER]: signatureOf(secretsOf(webhook, realNowMs), body, realNowMs),
  'warmline-event-id': event.id,
  'warmline-event-type': event.type,
});

async function change(tenant: Tenant, id: string, decide: (before: Webhook) => Webhook): Promise<Webhook> {
  const { engine, keys } = tenant;
  return retryWhenContended(async () => {
    const raw = await engine.scripts.redis.hget(keys.webhooks, id);
    if (raw === null) throw noWebhook(id);
    const webhook = { ...decide(Webhook.parse(JSON.parse(raw))), updatedAtMs: await nowIn(tenant) };
    const outcome = await engine.scripts.run('webhook-put', [
      keys.webhooks,
      id,
      raw,
      JSON.stringify(webhook),
      MOST_WEBHOOKS,
    ]);
    return outcome === 'ok' ? webhook : null;
  });
}

const noWebhook = (id: string) => notFound(`there is no webhook ${id.slice(0, 60)} in this account`, 'id');

/**
 * In the order in which they were made.
 * @param onDamaged is told of one whose record cannot be read; else that is thrown
 */
export async function listWebhooks(
  { engine, keys }: Tenant,
  onDamaged: (id: string, error: unknown) => void = (_, error) => {
    throw error;
  },
): Promise<WebhookState[]> {
  const { redis } = engine.scripts;
  const [records, failing] = await Promise.all([
    redis.hgetall(keys.webhooks),
    redis.hgetall(keys.webhooksFailing),
  ]);
  const webhooks: Webhook[] = [];
  for (const [id, raw] of Object.entries(records)) {
    try {
      webhooks.push(Webhook.parse(JSON.parse(raw)));
    } catch (error) {
      onDamaged(id, error);
    }
  }
  return webhooks
    .sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1))
    .map((webhook) => ({ ...webhook, failingSinceMs: numberOrNull(failing[webhook.id]) }));
}

/** @throws WarmlineError `not_found` */
export async function getWebhook(tenant: Tenant, id: string): Promise<WebhookState> {
  const found = await findWebhook(tenant, id);
  if (!found) throw noWebhook(id);
  const since = await tenant.engine.scripts.redis.hget(tenant.keys.webhooksFailing, id);
  return { ...found, failingSinceMs: numberOrNull(since ?? undefined) };
}

/** `null` for one that is gone. */
export async function findWebhook({ engine, keys }: Tenant, id: string): Promise<Webhook | null> {
  const raw = await engine.scripts.redis.hget(keys.webhooks, id);
  return raw === null ? null : Webhook.parse(JSON.parse(raw));
}

const numberOrNull = (text: string | undefined) => (text === undefined ? null : Number(text));

/** What is still on its way to it is dropped. @throws WarmlineError `not_found` */
export async function deleteWebhook({ engine, keys }: Tenant, id: string): Promise<void> {
  const { redis } = engine.scripts;
  const removed = await redis.hdel(keys.webhooks, id);
  if (removed === 0) throw noWebhook(id);
  await Promise.all([redis.del(keys.webhookLog(id)), redis.hdel(keys.webhooksFailing, id)]);
}

// ---- what became of what was sent

/** Newest first. @throws WarmlineError `not_found` */
export async function deliveriesOf(tenant: Tenant, id: string, limit: number): Promise<Delivery[]> {
  await getWebhook(tenant, id);
  const lines = await tenant.engine.scripts.redis.lrange(tenant.keys.webhookLog(id), 0, limit - 1);
  return lines.map((line) => JSON.parse(line) as Delivery);
}

/** The last hundred are kept. */
export async function logDelivery({ engine, keys }: Tenant, id: string, delivery: Delivery): Promise<void> {
  const { redis } = engine.scripts;
  await redis.lpush(keys.webhookLog(id), JSON.stringify(delivery));
  await redis.ltrim(keys.webhookLog(id), 0, MOST_DELIVERIES - 1);
}

export const noteSuccess = ({ engine, keys }: Tenant, id: string): Promise<unknown> =>
  engine.scripts.redis.hdel(keys.webhooksFailing, id);

/** @returns since when nothing has got through; real time */
export async function noteFailure({ engine, keys }: Tenant, id: string, realNowMs: number): Promise<number> {
  const { redis } = engine.scripts;
  await redis.hsetnx(keys.webhooksFailing, id, realNowMs);
  return Number((await redis.hget(keys.webhooksFailing, id)) ?? realNowMs);
}

/** What was under way when a webhook was deleted leaves nothing behind that nobody would ever remove. */
export async function forgetIfGone({ engine, keys }: Tenant, id: string): Promise<void> {
  const { redis } = engine.scripts;
  if ((await redis.hexists(keys.webhooks, id)) === 1) return;
  await Promise.all([redis.del(keys.webhookLog(id)), redis.hdel(keys.webhooksFailing, id)]);
}

/** Whoever made it has to switch it on again. One that is gone by now is left alone. */
export async function disableWebhook(tenant: Tenant, id: string, because: string): Promise<void> {
  if (!(await findWebhook(tenant, id))) return;
  await change(tenant, id, (before) => ({ ...before, enabled: false, disabledBecause: because }));
}

// ---- tests

/** So many may wait to be sent. */
const MOST_TESTS = 20;
export type AskedTest = { webhookId: string; eventId: string; at: string };

/** Asks the worker to send a test event. @returns its id, by which it stands in the log */
export async function askForTest(tenant: Tenant, id: string): Promise<string> {
  const { enabled } = await getWebhook(tenant, id);
  if (!enabled) throw conflict('this webhook is switched off; switch it on first ("enabled": true)');
  const { engine, keys } = tenant;
  const { redis } = engine.scripts;
  if ((await redis.llen(keys.webhookTests)) >= MOST_TESTS) {
    throw conflict(`${MOST_TESTS} tests wait to be sent already; is a worker running?`);
  }
  const asked: AskedTest = {
    webhookId: id,
    eventId: `evt_${randomBytes(16).toString('hex')}`,
    at: new Date(await nowIn(tenant)).toISOString(),
  };
  await redis.rpush(keys.webhookTests, JSON.stringify(asked));
  return asked.eventId;
}

export const wants = (webhook: Webhook, type: EventType) =>
  type === 'webhook.test' || (webhook.events as readonly string[]).includes(type);

// ---- the stream

/** The id of the newest change. */
export async function lastChange({ engine, keys }: Tenant): Promise<string> {
  const [newest] = await engine.scripts.redis.xrevrange(keys.changes, '+', '-', 'COUNT', 1);
  return newest?.[0] ?? '0-0';
}

/** Names are looked up when something is sent; what is an address is told at once. */
function checkUrl(text: string, allowPrivate: boolean): string {
  const parsed = URL.canParse(text) ? new URL(text) : null;
  const example = '(example: https://example.com/warmline)';
  if (!parsed || !['https:', 'http:'].includes(parsed.protocol) || text.length > 1_000) {
    throw invalid('url', `url is "${text.slice(0, 60)}"; it must be an https:// URL ${example}`);
  }
  if (parsed.protocol === 'http:' && !allowPrivate) {
    throw invalid('url', `url begins with http://; events are only sent over https:// ${example}`);
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw invalid('url', 'url holds a user or a password; every event is signed instead, so leave them out');
  }
  const bare = parsed.hostname.replace(/^\[|\]$/g, '');
  if (!allowPrivate && (parsed.hostname === 'localhost' || (isIP(bare) !== 0 && !isPublicAddress(bare)))) {
    throw invalid(
      'url',
      `url names ${bare}, which is no public address; name one that is reached from outside`,
    );
  }
  parsed.hash = '';
  return parsed.href;
}
