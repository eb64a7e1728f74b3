/** Addresses that are told what happens. Each secret is shown by the call that makes it, and by no other. */
import { type Api, type CallOptions, path } from './api.ts';
import { Listing } from './pages.ts';
import type {
  CreatedWebhook,
  CreateWebhookParams,
  UpdateWebhookParams,
  Webhook,
  WebhookDelivery,
} from './types.ts';

export class Webhooks {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * The answer shows the secret this once, so it is sent one time: when it fails with an unknown outcome, list the webhooks
   * and delete the one whose secret nobody saw.
   */
  create(params: CreateWebhookParams, options?: CallOptions): Promise<CreatedWebhook> {
    return this.#api.request({ method: 'POST', path: '/v1/webhooks', body: params }, options);
  }

  list(options?: CallOptions): Listing<Webhook> {
    return new Listing(() => this.#api.request({ method: 'GET', path: '/v1/webhooks' }, options));
  }

  async get(id: string, options?: CallOptions): Promise<Webhook> {
    return this.#api.request({ method: 'GET', path: path`/v1/webhooks/${id}` }, options);
  }

  /** Changes what is given; `{ enabled: true }` switches it on again. */
  async update(id: string, params: UpdateWebhookParams, options?: CallOptions): Promise<Webhook> {
    return this.#api.request({ method: 'PATCH', path: path`/v1/webhooks/${id}`, body: params }, options);
  }

  async delete(id: string, options?: CallOptions): Promise<void> {
    const isDone = ({ status }: { status: number | null }) => status === 404;
    return this.#api.request({ method: 'DELETE', path: path`/v1/webhooks/${id}`, isDone }, options);
  }

  /** A new secret, shown this once; the old one signs beside it for a day. Sent one time, as `create` is. */
  async rotateSecret(id: string, options?: CallOptions): Promise<CreatedWebhook> {
    return this.#api.request({ method: 'POST', path: path`/v1/webhooks/${id}/rotate-secret` }, options);
  }

  /** The worker sends a test event within seconds; look for its id in the deliveries. */
  async test(id: string, options?: CallOptions): Promise<{ eventId: string }> {
    return this.#api.request({ method: 'POST', path: path`/v1/webhooks/${id}/test` }, options);
  }

  /** The last 100 attempts, newest first. */
  deliveries(id: string, params: { limit?: number } = {}, options?: CallOptions): Listing<WebhookDelivery> {
    const at = path`/v1/webhooks/${id}/deliveries`;
    return new Listing(() => this.#api.request({ method: 'GET', path: at, query: params }, options));
  }
}
