/** What the operator does with a key of scope `admin`: addresses, accounts, keys, and the test clock. */
import { type Api, type CallOptions, type ChangeOptions, path } from './api.ts';
import { Listing } from './pages.ts';
import type {
  Account,
  AddAddressesParams,
  AddedAddresses,
  Advanced,
  AdvanceParams,
  ApiKey,
  CreateAccountParams,
  CreatedApiKey,
  CreateKeyParams,
  InventoryAddress,
  PageParams,
} from './types.ts';

export class Inventory {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** All of them or none. With `account` they are put on that account at once. */
  async add(params: AddAddressesParams, options?: ChangeOptions): Promise<AddedAddresses> {
    return this.#api.request({ method: 'POST', path: '/v1/inventory', body: params, keyed: true }, options);
  }

  /** In no order; pages are only about as long as `limit` says. */
  list(params: PageParams = {}, options?: CallOptions): Listing<InventoryAddress> {
    return new Listing((cursor = params.cursor) =>
      this.#api.request({ method: 'GET', path: '/v1/inventory', query: { ...params, cursor } }, options),
    );
  }
}

export class Accounts {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  async create(params: CreateAccountParams, options?: ChangeOptions): Promise<Account> {
    return this.#api.request({ method: 'POST', path: '/v1/accounts', body: params, keyed: true }, options);
  }

  /** In the order of their creation. */
  list(params: PageParams = {}, options?: CallOptions): Listing<Account> {
    return new Listing((cursor = params.cursor) =>
      this.#api.request({ method: 'GET', path: '/v1/accounts', query: { ...params, cursor } }, options),
    );
  }

  /** By name or id. */
  async get(account: string, options?: CallOptions): Promise<Account> {
    return this.#api.request({ method: 'GET', path: path`/v1/accounts/${account}` }, options);
  }
}

export class Keys {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * The answer shows the key this once, so it is sent one time: when it fails with an unknown outcome, list the keys and
   * revoke the one that nobody saw.
   */
  create(params: CreateKeyParams, options?: CallOptions): Promise<CreatedApiKey> {
    return this.#api.request({ method: 'POST', path: '/v1/keys', body: params }, options);
  }

  list(params: PageParams & { account?: string } = {}, options?: CallOptions): Listing<ApiKey> {
    return new Listing((cursor = params.cursor) =>
      this.#api.request({ method: 'GET', path: '/v1/keys', query: { ...params, cursor } }, options),
    );
  }

  async revoke(id: string, options?: CallOptions): Promise<void> {
    const isDone = ({ status }: { status: number | null }) => status === 404;
    return this.#api.request({ method: 'DELETE', path: path`/v1/keys/${id}`, isDone }, options);
  }
}

export class TestClock {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  async get(options?: CallOptions): Promise<{ now: string }> {
    return this.#api.request({ method: 'GET', path: '/v1/test-clock' }, options);
  }

  /** Moves the time of the whole engine, which does all work on the way. Sent one time: twice would be twice as far. */
  async advance(params: AdvanceParams, options?: CallOptions): Promise<Advanced> {
    return this.#api.request({ method: 'POST', path: '/v1/test-clock/advance', body: params }, options);
  }
}
