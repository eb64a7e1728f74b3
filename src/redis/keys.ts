/**
 * Every key of Warmline, made here and nowhere else. All keys of an account carry its hash tag, so that an account lives
 * in one slot of a cluster and each of its operations can be one atomic script.
 */

/** Whose keys: a subuser lives in the slot of its parent. */
export type AccountRef = { readonly id: string; readonly parentId: string | null };

/** `warmline:{acct_x}:`, and `warmline:{acct_parent}:acct_sub:` for a subuser: what all keys of an account begin with. */
export const accountPrefix = ({ id, parentId }: AccountRef) =>
  parentId === null ? `warmline:{${id}}:` : `warmline:{${parentId}}:${id}:`;

export type AccountKeys = ReturnType<typeof accountKeys>;

export function accountKeys(account: AccountRef) {
  const prefix = accountPrefix(account);
  return {
    prefix,
    /** String, JSON: the account's record. */
    account: `${prefix}account`,
    /** String, JSON `{"rev":...}`: what stops the whole account, or `null`; no key: it never was stopped. */
    accountHold: `${prefix}account-hold`,
    /** String, JSON `{"rev":...}`: the record of an IP, the truth about everything that is decided. */
    ip: (ipId: string) => `${prefix}ip:${ipId}`,
    /** String of packed numbers: the hot record that takes are charged to (layout in `lua/counter.lua`). */
    hot: (address: string) => `${prefix}hot:${address}`,
    /** String of two packed numbers: what was granted before may be forgotten, and is used up (layout in `lua/fence.lua`). */
    fence: `${prefix}fence`,
    /** Hash: the Redis that served the account last (`lua/wake.lua`). */
    awake: `${prefix}awake`,
    /** Hash: the published send quota, for people and for senders in any language. */
    quota: (address: string) => `${prefix}quota:${address}`,
    /** Hash of short packed runs: what was sent, the last 48 hours and the last 128 days (layout in `lua/counter.lua`). */
    sent: (ipId: string) => `${prefix}sent:${ipId}`,
    /** Set: receipts credited in the running day. */
    refunded: (ipId: string) => `${prefix}refunded:${ipId}`,
    /** Hash: holder of a lease -> seq of what it gave back last, in the running day. */
    returned: (ipId: string) => `${prefix}returned:${ipId}`,
    /** Hash: holder of a lease -> what it drew in the hour (layout in `lua/lease.lua`); of an address or a scope. */
    leases: (target: string) => `${prefix}leases:${target}`,
    /** Hash: `all`, the id of an IP or a pool, or `any` -> what was wanted of it in an hour, by engine time (`lua/demand.lua`). */
    demand: (hourMs: number) => `${prefix}demand:${hourMs}`,
    /** Hash: `<reason> <target>` -> what was denied in that hour, and when last; at most 200. */
    denied: (hourMs: number) => `${prefix}denied:${hourMs}`,
    /** Sorted set: the hours of which there are such hashes, at most 50 and those that a clock set back left ahead. */
    demandHours: `${prefix}demand-hours`,
    /** Hash that only grows: sends `wanted`, `granted`, and `held:<reason>`, for good. */
    demandTotal: `${prefix}demand-total`,
    /** List, newest first: where earlier builds kept the changes of an IP. Now its record has them; read, and deleted. */
    history: (ipId: string) => `${prefix}history:${ipId}`,
    /** Sorted sets of addresses, for the choice within a scope (`all`, a pool) and family: those with room, and all by their next instant (`lua/routing.lua`). */
    ready: (scope: string, family: 4 | 6) => `${prefix}ready:${scope}:${family}`,
    turn: (scope: string, family: 4 | 6) => `${prefix}turn:${scope}:${family}`,
    /** Hash: address -> id of the IP that holds it (provisioning to cooldown). */
    addresses: `${prefix}addresses`,
    /** Sorted set: ids of the account's IPs by the instant of their creation; released ones leave it. */
    ips: `${prefix}ips`,
    /** Sorted set without scores: `<address, sortable>:<ip id>` of the IPs that are on the account (not in cooldown). */
    byAddress: `${prefix}by-address`,
    /** Sorted set without scores: the same of those that warm up. */
    warming: `${prefix}warming`,
    /** Sorted set without scores: the same of those that wait for their warm-up to be started. */
    provisioning: `${prefix}provisioning`,
    /** Sorted set without scores: the same of those that carry the label of a subuser. */
    subuserIps: (subuserId: string) => `${prefix}subuser-ips:${subuserId}`,
    /** Sorted set: ids by the next instant (ms of engine time) at which the worker has to look at them. */
    due: `${prefix}due`,
    /** String, JSON: the rows of a plan under their digest. */
    plan: (digest: string) => `${prefix}plan:${digest}`,
    /** String, JSON `{"rev":...}`: the record of a pool. */
    pool: (poolId: string) => `${prefix}pool:${poolId}`,
    /** Sorted set: ids of the IPs of a pool in the order in which they joined. */
    poolIps: (poolId: string) => `${prefix}pool-ips:${poolId}`,
    /** String of packed numbers: what the pool itself limits (layout in `lua/take-pool.lua`). */
    gate: (poolId: string) => `${prefix}gate:${poolId}`,
    /** Hash: name -> id of a pool. */
    poolNames: `${prefix}pool-names`,
    /** Hash: number -> id of a pool. */
    poolNumbers: `${prefix}pool-numbers`,
    /** Sorted set: ids of the pools by the order of their creation. */
    pools: `${prefix}pools`,
    /** String: id of the default pool. */
    defaultPool: `${prefix}default-pool`,
    /** Stream: every change of status, hold, plan, limits, pool and owner. */
    changes: `${prefix}changes`,
    /** Stream that takes the place of that one, once a restore has put the changes of a backup into it: of an attempt by its revision. */
    changesRestored: (rev: number) => `${prefix}changes-restored:${rev}`,
    /** Sorted set: allocations that came too late, by the instant (real time) at which they were undone. */
    tombstones: `${prefix}tombstones`,
    /** Hash: what is known of a request that came with an Idempotency-Key (`lua/request-begin.lua`); gone after a day. */
    request: (digest: string) => `${prefix}request:${digest}`,
    /** String, JSON `{"rev":1,...}`: a step of such a request that is done; gone after it. */
    requestStep: (seed: string, step: string) => `${prefix}request-step:${seed}:${step}`,
    /** String, JSON `{"rev":...}`: the account is being restored from the backup of that SHA-256, up to that step; gone once it is whole. */
    restoring: `${prefix}restoring`,
    /** Hash: ip id -> JSON of the address that goes back to the inventory once its cooldown is over. */
    returns: `${prefix}returns`,
    /** Hash: id -> JSON of a webhook with its secret; at most 20. */
    webhooks: `${prefix}webhooks`,
    /** Hash: id of a webhook -> ms of real time since when nothing has got through to it. */
    webhooksFailing: `${prefix}webhooks-failing`,
    /** List, newest first, of JSON: the last 100 attempts to send something to a webhook. */
    webhookLog: (webhookId: string) => `${prefix}webhook-log:${webhookId}`,
    /** String: id of the last change in the stream that webhooks were told of. */
    webhookPosition: `${prefix}webhook-position`,
    /** List of JSON: test events that somebody asked for and that no worker has sent yet; at most 20, about. */
    webhookTests: `${prefix}webhook-tests`,
    /** Hash: id of a warming IP -> `<beginning of its day>:<percent>`: what webhooks were told of its quota. */
    webhookTold: `${prefix}webhook-told`,
  };
}

/** The operator's addresses, in a slot of their own. */
export const inventoryKeys = {
  /** Hash: address -> JSON of its entry. */
  entries: 'warmline:{inventory}:entries',
  /** Sorted set: free addresses by their place in the queue, longest free first. */
  free: 'warmline:{inventory}:free',
  /** Sorted set: the free addresses of one region (empty: of none) by the same place. */
  freeIn: (region: string) => `warmline:{inventory}:free-in:${region}`,
  /** Sorted sets: of these the IPv4 addresses alone. */
  freeV4: 'warmline:{inventory}:free-v4',
  freeV4In: (region: string) => `warmline:{inventory}:free-v4-in:${region}`,
  /** String, a number: the last place given in that queue. */
  sequence: 'warmline:{inventory}:sequence',
  /** Sorted set: ids of allocations that are under way, by the real time at which they began. */
  pending: 'warmline:{inventory}:pending',
  /** Hash: id of an allocation -> JSON of what it reserved. */
  journal: 'warmline:{inventory}:journal',
  /** Sorted set: `confirm <id>`, `undo <id>` or `add <id>` of what a retry may ask for again, by the real time of its end. */
  closed: 'warmline:{inventory}:closed',
};

/** Which accounts exist and whose keys are whose. */
export const directoryKeys = {
  /** Hash: name -> id. */
  names: 'warmline:{directory}:names',
  /** Hash: id -> JSON of the account. */
  accounts: 'warmline:{directory}:accounts',
  /** String, a number: the last number given to a pool or an account; numbers are never given twice. */
  numbers: 'warmline:{directory}:numbers',
  /** Sorted set: ids of the accounts by their number. */
  accountOrder: 'warmline:{directory}:account-order',
  /** Hash: SHA-256 of an API key -> JSON of what it may do; the key itself is nowhere. */
  apiKeys: 'warmline:{directory}:api-keys',
  /** Hash: id of an API key -> its SHA-256. */
  keyHashes: 'warmline:{directory}:key-hashes',
  /** Sorted set: ids of all API keys by the order in which they were made. */
  keyOrder: 'warmline:{directory}:key-order',
  /** Sorted set: the same of one account. */
  keysOf: (accountId: string) => `warmline:{directory}:keys-of:${accountId}`,
  /** String, a number: the last place given in that order. */
  keySequence: 'warmline:{directory}:key-sequence',
  /** Hash: id of an API key -> ms of engine time at which it was used last, about. */
  keyUses: 'warmline:{directory}:key-uses',
  /** String: random; signs the receipts that go out over HTTP. */
  receiptSecret: 'warmline:{directory}:receipt-secret',
};

export const clockKeys = {
  /** String, `real` or `test`: set by the first start on a database and never changed. */
  mode: 'warmline:{clock}:mode',
  /** String, ms: the time of a test clock. */
  now: 'warmline:{clock}:now',
  /** Channel: `ending <id>` before a test clock moves, so that leases end; `moved` once it has. */
  moves: 'warmline:{clock}:moves',
  /** String, a number: so many senders have given back what they leased; gone after a minute. */
  ended: (id: string) => `warmline:{clock}:ended:${id}`,
};

/** What webhooks need besides what each account has. */
export const webhookKeys = {
  /** Set: ids of the accounts that have, or once had, a webhook. */
  accounts: 'warmline:{webhooks}:accounts',
  /** String that expires: a worker looks for what is to be told, and the others need not. */
  turn: (what: string) => `warmline:{webhooks}:turn:${what}`,
};

/** A key that never exists, in the slot of another (`scripts.ts` says what for). */
export const neverIn = (key: string) => `${key.slice(0, key.indexOf('}') + 1)}:never`;

/** Prefix of BullMQ's keys. The queue has a slot of its own. */
export const QUEUE_PREFIX = 'warmline:{queue}';

/** The same for the queue of what is sent to webhooks. */
export const WEBHOOK_QUEUE_PREFIX = 'warmline:{webhooks}';

/** Strings that count the requests of an API key in the running minute; they expire with it. */
export const RATE_LIMIT_PREFIX = 'warmline:{rate-limit}';

/** String, JSON: who is signed in to the dashboard, under the SHA-256 of the session's id; it expires (real time). */
export const sessionKey = (idHash: string) => `warmline:{session}:${idHash}`;
