/** Webhooks in JSON: what is asked for, what is answered, and what is sent, with its signature. */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { anyText, flag, instant, instantOrNull, list, oneOf, text } from './parse.ts';
import { pageShape } from './shapes.ts';

/** What can be subscribed to. `webhook.test` comes to everybody who asks for it. */
export const EVENTS = ['ip.status_changed', 'ip.quota_used', 'ip.hold_changed', 'pool.hold_changed'] as const;
export type EventType = (typeof EVENTS)[number] | 'webhook.test';

/** What is sent, and nothing else: the body is this as JSON. */
export type WebhookEvent = {
  /** The same for every attempt and every repetition, so that a receiver can tell what it has seen. */
  id: string;
  type: EventType;
  /** When it happened, on engine time. */
  at: string;
  accountId: string;
  data: Record<string, unknown>;
};

export const SIGNATURE_HEADER = 'warmline-signature';

/**
 * `t=<Unix seconds>,v1=<hex>`: HMAC-SHA256 over `<seconds>.<body>`. The time is signed too, so that what was overheard
 * cannot be sent again later. After a rotation there are two, and either will do.
 */
export function signatureOf(secrets: readonly string[], body: string, nowMs: number): string {
  const seconds = Math.floor(nowMs / 1000);
  const parts = secrets.map(
    (secret) => `v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`,
  );
  return [`t=${seconds}`, ...parts].join(',');
}

export const MOST_WEBHOOKS = 20;
export const MOST_DELIVERIES = 100;
const LONGEST_URL = 1_000;

const url = () =>
  anyText(`a URL of at most ${LONGEST_URL} characters (example: https://example.com/warmline)`);
const events = () => list(oneOf(EVENTS), EVENTS.length, 'events');
const description = () => text(200).nullable();

export const CreateBody = z.strictObject({
  url: url().describe(
    'Where events are sent, with POST. `https`, unless the operator allows private addresses.',
  ),
  events: events().optional().describe('Which events; all unless said.'),
  description: description().optional().describe('What people call it.'),
});

export const UpdateBody = z.strictObject({
  url: url().optional().describe('Where events are sent from now on.'),
  events: events().optional().describe('Which events.'),
  description: description().optional().describe('What people call it.'),
  enabled: flag()
    .optional()
    .describe('Off, nothing is sent. On again, what happened in between is not sent afterwards.'),
});

export const WebhookShape = z
  .strictObject({
    id: z.string(),
    url: z.string(),
    events: z.array(z.enum(EVENTS)),
    description: z.string().nullable(),
    enabled: z.boolean(),
    disabledBecause: z
      .string()
      .nullable()
      .describe('Why it was switched off: by hand, or because nothing got through for days.'),
    failingSince: z
      .string()
      .nullable()
      .describe('Since when every attempt has failed; `null` when the last did not.'),
    createdAt: z.string(),
    updatedAt: z.string(),
  })
  .meta({ id: 'Webhook', description: 'An address that is told what happens, without its secret.' });
export const NewWebhookShape = WebhookShape.extend({
  secret: z.string().describe('Signs what is sent. It is shown this once.'),
}).meta({ id: 'NewWebhook', description: 'A webhook with its secret, which is shown this once.' });
export const WebhookPage = pageShape('WebhookPage', WebhookShape);

export const DeliveryShape = z
  .strictObject({
    eventId: z.string(),
    type: z.enum([...EVENTS, 'webhook.test']),
    at: z.string().describe('When it was tried.'),
    attempt: z.number().int().positive(),
    outcome: z
      .enum(['delivered', 'failed', 'given_up'])
      .describe('`failed`: it will be tried again; `given_up`: it will not.'),
    status: z.number().int().nullable().describe('What was answered; `null` when nothing was.'),
    ms: z.number().int().nonnegative().describe('How long it took.'),
    error: z.string().nullable().describe('Why it failed.'),
    nextAttemptAt: z.string().nullable().describe('About when it will be tried again.'),
  })
  .meta({ id: 'WebhookDelivery', description: 'One attempt to send one event.' });
export const DeliveryPage = pageShape('WebhookDeliveryPage', DeliveryShape);
export type Delivery = z.output<typeof DeliveryShape>;

export const TestAnswerShape = z
  .strictObject({ eventId: z.string().describe('Look for it in the deliveries.') })
  .meta({ id: 'WebhookTest', description: 'A test event is on its way.' });

export type ShownWebhook = {
  id: string;
  url: string;
  events: readonly (typeof EVENTS)[number][];
  description: string | null;
  enabled: boolean;
  disabledBecause: string | null;
  failingSinceMs: number | null;
  createdAtMs: number;
  updatedAtMs: number;
};

/** By name, so that what must not be shown cannot come along. */
export const webhookOf = (webhook: ShownWebhook): z.output<typeof WebhookShape> => ({
  id: webhook.id,
  url: webhook.url,
  events: [...webhook.events],
  description: webhook.description,
  enabled: webhook.enabled,
  disabledBecause: webhook.disabledBecause,
  failingSince: instantOrNull(webhook.failingSinceMs),
  createdAt: instant(webhook.createdAtMs),
  updatedAt: instant(webhook.updatedAtMs),
});
