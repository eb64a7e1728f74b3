/** The API of Warmline from TypeScript and JavaScript: `const client = new Warmline({ apiKey })`. */
import { Api, type CallOptions, type ChangeOptions, type WarmlineOptions } from './api.ts';
import { DedicatedIps } from './dedicated-ips.ts';
import { Accounts, Inventory, Keys, TestClock } from './operator.ts';
import { Listing } from './pages.ts';
import { Quota } from './quota.ts';
import type {
  AccountHold,
  AccountHoldChange,
  Change,
  ChangesParams,
  Forecast,
  ForecastParams,
  HoldParams,
} from './types.ts';
import { Webhooks } from './webhooks.ts';

export class Warmline {
  readonly dedicatedIps: DedicatedIps;
  readonly quota: Quota;
  readonly inventory: Inventory;
  readonly accounts: Accounts;
  readonly keys: Keys;
  readonly testClock: TestClock;
  readonly webhooks: Webhooks;
  readonly #api: Api;

  constructor(options: WarmlineOptions = {}) {
    const api = new Api(options);
    this.#api = api;
    this.dedicatedIps = new DedicatedIps(api);
    this.quota = new Quota(api);
    this.inventory = new Inventory(api);
    this.accounts = new Accounts(api);
    this.keys = new Keys(api);
    this.testClock = new TestClock(api);
    this.webhooks = new Webhooks(api);
  }

  /** When a campaign is done: on which days and over which IPs it leaves, and what would change that. Nothing changes by asking. */
  forecast(params: ForecastParams, options?: CallOptions): Promise<Forecast> {
    return this.#api.request({ method: 'POST', path: '/v1/forecast', body: params, asks: true }, options);
  }

  /**
   * Stops the whole account: every IP, also those that come to it later, until `resume`. The same again changes only what a
   * failure left out.
   */
  async hold(params: HoldParams = {}, options?: ChangeOptions): Promise<AccountHoldChange> {
    return this.#api.request({ method: 'POST', path: '/v1/hold', body: params, keyed: true }, options);
  }

  /** Lifts that stop. What is held for itself or with its pool stays held. */
  async resume(options?: CallOptions): Promise<AccountHoldChange> {
    return this.#api.request({ method: 'DELETE', path: '/v1/hold' }, options);
  }

  /** What stops the whole account, if something does. */
  async getHold(options?: CallOptions): Promise<AccountHold> {
    return this.#api.request({ method: 'GET', path: '/v1/hold' }, options);
  }

  /**
   * The account's stream: who changed what, from what to what, why and when; oldest first. To follow it, give the `id` of the
   * last change that you have seen as `since`. `gap`: changes before the first one of the page were dropped.
   */
  changes(params: ChangesParams = {}, options?: CallOptions): Listing<Change, { gap: boolean }> {
    return new Listing((cursor = params.cursor) =>
      this.#api.request({ method: 'GET', path: '/v1/changes', query: { ...params, cursor } }, options),
    );
  }
}

export type { CallOptions, ChangeOptions, WarmlineOptions } from './api.ts';
export {
  AuthenticationError,
  ConflictError,
  ConnectionError,
  type ErrorFacts,
  ForbiddenError,
  NotFoundError,
  QuotaExceededError,
  RateLimitError,
  ServerError,
  TimeoutError,
  ValidationError,
  WarmlineApiError,
} from './errors.ts';
export type { Listing, Page } from './pages.ts';
export type * from './types.ts';
