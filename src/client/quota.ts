/** `client.quota`: asked before each message. */
import type { Api, CallOptions } from './api.ts';
import type {
  Demand,
  DemandParams,
  Explanation,
  Refund,
  TakeAnswer,
  TakeAnswers,
  TakeManyParams,
  TakeParams,
} from './types.ts';

export class Quota {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * Takes sends before they are sent. Over quota is an answer (`allowed: false`, `retryAfterMs`) and no error.
   *
   * A take is sent one time and never again, whatever `maxRetries` says. When it fails with a `ConnectionError`, a
   * `TimeoutError` or a `ServerError`, nobody knows whether it was granted: it counts as spent. Take anew for the message,
   * and send nothing on the strength of the one that failed.
   */
  take(params: TakeParams = {}, options?: CallOptions): Promise<TakeAnswer> {
    return this.#api.request({ method: 'POST', path: '/v1/quota/take', body: params }, options);
  }

  /**
   * Many takes in one request, each granted or denied by itself. An answer with an `error` is that of a take whose IP or pool
   * does not exist; it says nothing about the others. What is not valid is an error of the call, and nothing is taken.
   *
   * Sent one time, as `take` is.
   */
  takeMany(params: TakeManyParams, options?: CallOptions): Promise<TakeAnswers> {
    return this.#api.request({ method: 'POST', path: '/v1/quota/take', body: params }, options);
  }

  /** Why a take is answered as it is, also one that was just denied: each IP that it considers. Nothing is taken. */
  explain(params: TakeParams = {}, options?: CallOptions): Promise<Explanation> {
    return this.#api.request(
      { method: 'POST', path: '/v1/quota/explain', body: params, asks: true },
      options,
    );
  }

  /**
   * What was wanted, granted and held, by the hour: of the account, or of what named one IP or one pool. Other processes tell
   * every ten seconds what they were asked.
   */
  demand(params: DemandParams = {}, options?: CallOptions): Promise<Demand> {
    return this.#api.request({ method: 'GET', path: '/v1/quota/demand', query: { ...params } }, options);
  }

  /**
   * Gives back what never reached a receiver. Sent one time as well; since a receipt is credited at most once, you may call
   * it again with the same receipts when it fails.
   */
  refund(params: { refunds: Refund[] }, options?: CallOptions): Promise<{ refunded: number }> {
    return this.#api.request({ method: 'POST', path: '/v1/quota/refund', body: params }, options);
  }
}
