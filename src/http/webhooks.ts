/** Webhooks over HTTP. The answer that makes one, or a new secret, is the only place where a secret is ever shown. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import {
  askForTest,
  createWebhook,
  deleteWebhook,
  deliveriesOf,
  getWebhook,
  listWebhooks,
  rotateSecret,
  updateWebhook,
} from '../fleet/webhooks.ts';
import { parse, parseQuery, wholeNumberText } from '../wire/parse.ts';
import { page } from '../wire/v1.ts';
import {
  CreateBody,
  DeliveryPage,
  MOST_DELIVERIES,
  MOST_WEBHOOKS,
  NewWebhookShape,
  TestAnswerShape,
  UpdateBody,
  WebhookPage,
  WebhookShape,
  webhookOf,
} from '../wire/webhooks.ts';
import type { Context } from './context.ts';
import type { RouteDocs } from './openapi.ts';

const params = z.object({ id: z.string().describe('The id of a webhook.') });
const DeliveriesQuery = z.strictObject({
  limit: wholeNumberText(1, MOST_DELIVERIES).default(MOST_DELIVERIES).describe('How many at most.'),
});

const CREATE: RouteDocs = {
  summary: 'Make a webhook',
  description: `Its secret is shown in this answer and never again. An account has ${MOST_WEBHOOKS} at most. \`Idempotency-Key\` is ignored here.`,
  id: 'createWebhook',
  body: CreateBody,
  answers: { 201: NewWebhookShape },
  refusals: [409],
  example: { url: 'https://example.com/warmline', events: ['ip.status_changed', 'ip.quota_used'] },
};
const LIST: RouteDocs = {
  summary: 'List webhooks',
  description: 'All of them, in the order in which they were made, without their secrets.',
  id: 'listWebhooks',
  answers: { 200: WebhookPage },
};
const GET: RouteDocs = { summary: 'Get a webhook', id: 'getWebhook', params, answers: { 200: WebhookShape } };
const UPDATE: RouteDocs = {
  summary: 'Change a webhook, or switch it off and on',
  id: 'updateWebhook',
  params,
  body: UpdateBody,
  answers: { 200: WebhookShape },
  example: { enabled: true },
};
const DELETE: RouteDocs = {
  summary: 'Delete a webhook',
  description: 'What is still on its way to it is dropped.',
  id: 'deleteWebhook',
  params,
  answers: { 204: null },
};
const ROTATE: RouteDocs = {
  summary: 'Give a webhook a new secret',
  description: 'It is shown in this answer. For 24 hours the old one signs beside it.',
  id: 'rotateWebhookSecret',
  params,
  answers: { 200: NewWebhookShape },
};
const TEST: RouteDocs = {
  summary: 'Send a test event',
  description: 'The worker sends it within seconds; what became of it stands in the deliveries.',
  id: 'testWebhook',
  params,
  answers: { 202: TestAnswerShape },
  refusals: [409],
};
const DELIVERIES: RouteDocs = {
  summary: 'What was sent, and what became of it',
  description: `The last ${MOST_DELIVERIES} attempts, newest first.`,
  id: 'listWebhookDeliveries',
  params,
  query: DeliveriesQuery,
  answers: { 200: DeliveryPage },
};

type Named = { Params: { id: string } };

export function registerWebhooks(
  app: FastifyInstance,
  { tenantOf }: Context,
  rules: { allowPrivate: boolean },
): void {
  app.post('/v1/webhooks', { config: { docs: CREATE } }, async (request, reply) => {
    const webhook = await createWebhook(tenantOf(request), parse(CreateBody, request.body), rules);
    return reply
      .code(201)
      .send({ ...webhookOf({ ...webhook, failingSinceMs: null }), secret: webhook.secret });
  });

  app.get('/v1/webhooks', { config: { docs: LIST } }, async (request) =>
    page((await listWebhooks(tenantOf(request))).map(webhookOf), null),
  );

  app.get<Named>('/v1/webhooks/:id', { config: { docs: GET } }, async (request) =>
    webhookOf(await getWebhook(tenantOf(request), request.params.id)),
  );

  app.patch<Named>('/v1/webhooks/:id', { config: { docs: UPDATE } }, async (request) => {
    const tenant = tenantOf(request);
    const { id } = request.params;
    await updateWebhook(tenant, id, parse(UpdateBody, request.body), rules);
    return webhookOf(await getWebhook(tenant, id));
  });

  app.delete<Named>('/v1/webhooks/:id', { config: { docs: DELETE } }, async (request, reply) => {
    await deleteWebhook(tenantOf(request), request.params.id);
    return reply.code(204).send();
  });

  app.post<Named>('/v1/webhooks/:id/rotate-secret', { config: { docs: ROTATE } }, async (request, reply) => {
    const tenant = tenantOf(request);
    const { secret, id } = await rotateSecret(tenant, request.params.id);
    return reply.send({ ...webhookOf(await getWebhook(tenant, id)), secret });
  });

  app.post<Named>('/v1/webhooks/:id/test', { config: { docs: TEST } }, async (request, reply) =>
    reply.code(202).send({ eventId: await askForTest(tenantOf(request), request.params.id) }),
  );

  app.get<Named>('/v1/webhooks/:id/deliveries', { config: { docs: DELIVERIES } }, async (request) => {
    const { limit } = parseQuery(DeliveriesQuery, request.query);
    return page(await deliveriesOf(tenantOf(request), request.params.id, limit), null);
  });
}
