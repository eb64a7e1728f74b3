/** `client.dedicatedIps`: the IPs of the account and their pools. IPs are named by id or by address, pools by id or name. */
import { type Api, type CallOptions, type ChangeOptions, path } from './api.ts';
import type { WarmlineApiError } from './errors.ts';
import { Listing } from './pages.ts';
import type {
  CreatePoolParams,
  DedicatedIp,
  HoldParams,
  IpQuota,
  Ledger,
  ListIpsParams,
  PageParams,
  Pool,
  PoolQuota,
  StartWarmupParams,
  UpdateIpParams,
  UpdatePoolParams,
} from './types.ts';

/** What is deleted already is not there. */
const isGone = ({ status }: WarmlineApiError) => status === 404;
const isReleased = ({ status, details }: WarmlineApiError) =>
  status === 409 && (details.status === 'cooldown' || details.status === 'released');

export class DedicatedIps {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * Takes an address from the inventory, the one that was free longest. It joins the default pool.
   * @throws QuotaExceededError when no address is free
   */
  async create(options?: ChangeOptions): Promise<DedicatedIp> {
    return this.#post('/v1/dedicated-ips', undefined, options);
  }

  /** Awaited, the first page; in `for await`, all. Released IPs are left out. */
  list(params: ListIpsParams = {}, options?: CallOptions): Listing<DedicatedIp> {
    return new Listing((cursor = params.cursor) =>
      this.#get('/v1/dedicated-ips', options, { ...params, cursor }),
    );
  }

  async get(id: string, options?: CallOptions): Promise<DedicatedIp> {
    return this.#get(path`/v1/dedicated-ips/${id}`, options);
  }

  /** On an IP that warms up already nothing changes. */
  async startWarmup(id: string, params?: StartWarmupParams, options?: ChangeOptions): Promise<DedicatedIp> {
    return this.#post(path`/v1/dedicated-ips/${id}/warmup`, params, options);
  }

  async update(id: string, params: UpdateIpParams, options?: CallOptions): Promise<DedicatedIp> {
    return this.#api.request({ method: 'PATCH', path: path`/v1/dedicated-ips/${id}`, body: params }, options);
  }

  /** Out of its pools and without quota at once; the address rests, and goes back after its cooldown. */
  async release(id: string, options?: CallOptions): Promise<void> {
    return this.#delete(path`/v1/dedicated-ips/${id}`, options, isReleased);
  }

  /** Out of cooldown again, to the day it had. */
  async restore(id: string, options?: ChangeOptions): Promise<DedicatedIp> {
    return this.#post(path`/v1/dedicated-ips/${id}/restore`, undefined, options);
  }

  /** The stop button: no mail, no progress, or neither. */
  async hold(id: string, params?: HoldParams, options?: ChangeOptions): Promise<DedicatedIp> {
    return this.#post(path`/v1/dedicated-ips/${id}/hold`, params, options);
  }

  /** Ends the hold of the IP itself; one of its pool goes on. */
  async resume(id: string, options?: CallOptions): Promise<DedicatedIp> {
    return this.#delete(path`/v1/dedicated-ips/${id}/hold`, options);
  }

  /** A look at its limits; nothing is taken. */
  async quota(id: string, options?: CallOptions): Promise<IpQuota> {
    return this.#get(path`/v1/dedicated-ips/${id}/quota`, options);
  }

  /** What was sent, by day and by hour. */
  async ledger(id: string, options?: CallOptions): Promise<Ledger> {
    return this.#get(path`/v1/dedicated-ips/${id}/ledger`, options);
  }

  /** A new default pool takes that flag from the one before. */
  async createPool(params: CreatePoolParams, options?: ChangeOptions): Promise<Pool> {
    return this.#post('/v1/dedicated-ips/pools', params, options);
  }

  /** Awaited, the first page; in `for await`, all. */
  listPools(params: PageParams = {}, options?: CallOptions): Listing<Pool> {
    return new Listing((cursor = params.cursor) =>
      this.#get('/v1/dedicated-ips/pools', options, { ...params, cursor }),
    );
  }

  async getPool(poolId: string, options?: CallOptions): Promise<Pool> {
    return this.#get(path`/v1/dedicated-ips/pools/${poolId}`, options);
  }

  async updatePool(poolId: string, params: UpdatePoolParams, options?: CallOptions): Promise<Pool> {
    return this.#api.request(
      { method: 'PATCH', path: path`/v1/dedicated-ips/pools/${poolId}`, body: params },
      options,
    );
  }

  async deletePool(poolId: string, options?: CallOptions): Promise<void> {
    return this.#delete(path`/v1/dedicated-ips/pools/${poolId}`, options, isGone);
  }

  /** An IP is in one pool: adding it to another one moves it. */
  addIpToPool(poolId: string, params: { ipId: string }, options?: ChangeOptions): Promise<DedicatedIp> {
    return this.#post(path`/v1/dedicated-ips/pools/${poolId}/ips`, params, options);
  }

  async removeIpFromPool(poolId: string, ipId: string, options?: CallOptions): Promise<void> {
    return this.#delete(path`/v1/dedicated-ips/pools/${poolId}/ips/${ipId}`, options, isGone);
  }

  /** Holds every IP of the pool, also those that join it later. */
  async holdPool(poolId: string, params?: HoldParams, options?: ChangeOptions): Promise<Pool> {
    return this.#post(path`/v1/dedicated-ips/pools/${poolId}/hold`, params, options);
  }

  async resumePool(poolId: string, options?: CallOptions): Promise<Pool> {
    return this.#delete(path`/v1/dedicated-ips/pools/${poolId}/hold`, options);
  }

  async poolQuota(poolId: string, options?: CallOptions): Promise<PoolQuota> {
    return this.#get(path`/v1/dedicated-ips/pools/${poolId}/quota`, options);
  }

  #get<Answer>(at: string, options?: CallOptions, query = {}): Promise<Answer> {
    return this.#api.request({ method: 'GET', path: at, query }, options);
  }

  #post<Answer>(at: string, body: unknown, options?: ChangeOptions): Promise<Answer> {
    return this.#api.request({ method: 'POST', path: at, body, keyed: true }, options);
  }

  #delete<Answer>(
    at: string,
    options?: CallOptions,
    isDone?: (error: WarmlineApiError) => boolean,
  ): Promise<Answer> {
    return this.#api.request({ method: 'DELETE', path: at, ...(isDone ? { isDone } : {}) }, options);
  }
}
