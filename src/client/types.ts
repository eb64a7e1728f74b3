/**
 * The JSON of the API, as plain types: what is installed beside an application must not need a library to be understood.
 * A test holds them against the schemas and answers of the server.
 */

export type Status = 'provisioning' | 'warming' | 'active' | 'cooldown' | 'released';

/** Instants are ISO 8601 in UTC; a limit of -1 is unlimited. */
export type DedicatedIp = {
  id: string;
  ipAddress: string;
  status: Status;
  /** The pool that it was put in last. */
  poolId: string | null;
  poolIds: string[];
  /** Of several holds the one that matters most. */
  hold: Hold | null;
  holds: Hold[];
  warmup: WarmupProgress;
  /** Day by day, once its warm-up has started; never in lists. */
  warmingSchedule?: WarmingSchedule | undefined;
  ceiling: Ceiling;
  region: string | null;
  hostname: string | null;
  bind: string | null;
  /** From the inventory, or brought by the account. */
  leased: boolean;
  labels: Record<string, string>;
  cooldown: { since: string; until: string } | null;
  sendingVolume: number;
  lastUsedAt: string | null;
  createdAt: string;
  updatedAt: string;
};

export type WarmupProgress = {
  /** 0 to 1. */
  progress: number;
  currentDay: number | null;
  currentDailyLimit: number;
  currentHourlyLimit: number;
  usedToday: number;
  remainingToday: number;
  startedAt: string | null;
  completesAt: string | null;
  completedAt: string | null;
  totalDays: number | null;
  plan: string | null;
  zone: string | null;
  burst: number | null;
  dayStartsAt: string | null;
  startDay: number | null;
};

export type WarmingSchedule = { totalDays: number; days: WarmingDay[] };
export type WarmingDay = { day: number; dailyLimit: number; hourlyCap: number; cumulativeProgress: number };

export type Hold = {
  /** No mail. */
  sending: boolean;
  /** No progress: the warm-up day stays. */
  advance: boolean;
  because: string;
  by: string;
  scope: string;
  since: string;
  until: string | null;
};

/** The operator's own limits; `null` is none. */
export type Ceiling = { perDay: number | null; perHour: number | null };
/** `null` lifts a limit; one that is not named stays. */
export type CeilingChange = { perDay?: number | null; perHour?: number | null };

export type Pool = {
  id: string;
  name: string;
  isDefault: boolean;
  ipCount: number;
  warmingShare: number;
  ceiling: Ceiling;
  hold: Hold | null;
  createdAt: string;
  updatedAt: string;
};

/** What was sent, oldest first. */
export type Ledger = { ipId: string; ip: string; days: Sent[]; hours: Sent[] };
export type Sent = { from: string; sends: number };

export type PageAnswer<Row> = { data: Row[]; hasMore: boolean; nextCursor: string | null };

// ---- what is asked for

export type PageParams = {
  /** Rows per page, at most 100 (inventory: 1 000). */
  limit?: number;
  cursor?: string;
};

export type ListIpsParams = PageParams & {
  status?: Status;
  /** Id or name. */
  pool?: string;
  address?: string;
  /** `team:billing`, or `team` for any value. */
  label?: string;
};

/** Fixed at the start of a warm-up. */
export type StartWarmupParams = {
  /** `fourteen-day+sendgrid-hourly` unless said. */
  plan?: string;
  /** An IANA time zone; UTC unless said. */
  zone?: string;
  /** The size of the token bucket; `null` is the whole hourly cap. */
  burst?: number | null;
  /** `start`, or a local time such as `04:00`. */
  dayStartsAt?: string;
  /** For an IP that comes half warm. */
  startDay?: number;
};

export type AccountHold = {
  /** What stops the whole account; `null` is nothing. */
  hold: Hold | null;
};

export type AccountHoldChange = AccountHold & {
  /** IPs that were changed by it. */
  changed: number;
};

export type HoldParams = {
  /** Stop mail; true unless said. */
  sending?: boolean;
  /** Stop progress; true unless said. */
  advance?: boolean;
  because?: string;
  /** An instant with its zone; until somebody resumes it unless said. */
  until?: string | null;
};

export type UpdateIpParams = {
  hostname?: string | null;
  bind?: string | null;
  labels?: Record<string, string>;
  ceiling?: CeilingChange | null;
};

export type CreatePoolParams = {
  name: string;
  isDefault?: boolean;
  /** The part of an hour that warming IPs may take while an active one has room, 0 to 1. */
  warmingShare?: number;
  ceiling?: CeilingChange | null;
};
export type UpdatePoolParams = { name?: string; isDefault?: boolean };

// ---- quota

export type TakeParams = {
  /** An address or an id. Neither `ip` nor `pool`: the default pool, else any IP of the account. */
  ip?: string;
  /** An id or a name. */
  pool?: string;
  /** Recipients; 1 unless said. */
  count?: number;
  /** Fewer are welcome too. */
  partial?: boolean;
  /** Only these IPs: what this host can bind. */
  among?: string[];
  family?: 4 | 6;
  // Checked, and not yet a limit.
  to?: string;
  provider?: string;
  from?: string;
  class?: 'transactional' | 'bulk';
  tenant?: string;
  attempt?: number;
  key?: string;
};

export type TakeAnswer = {
  allowed: boolean;
  granted: Grant[];
  /** Of the limit that binds. */
  limit: number;
  remaining: number;
  /** When this same take would succeed if nobody else took; `null`: never. */
  retryAfterMs: number | null;
  resetAfterMs: number;
  because: {
    code: BecauseCode;
    scope: null;
    ipId: string | null;
    until: string | null;
  } | null;
};

/** Up to 1 000 at once. */
export type TakeManyParams = { takes: TakeParams[] };

/** Why one take of many could not even be asked: there is no such IP or pool. */
export type TakeRefusal = {
  error: {
    code: string;
    message: string;
    /** The field of this take that is at fault. */
    param: string | null;
    details: Record<string, unknown>;
  };
};

/** In the order of the takes. */
export type TakeAnswers = { answers: (TakeAnswer | TakeRefusal)[] };

/** A newer API may know others. */
export type BecauseCode =
  | 'status'
  | 'hold'
  | 'unpublished'
  | 'day'
  | 'hour'
  | 'burst'
  | 'ceiling'
  | 'count'
  | (string & {});

export type Grant = {
  ip: string;
  ipId: string;
  count: number;
  /** Names this grant for a refund. */
  receipt: string;
  /** What EHLO should say. */
  hostname: string | null;
  /** The local address to bind when it is not the IP itself. */
  bind: string | null;
};

export type Refund = { receipt: string; count?: number };

export type IpQuota = {
  ipId: string;
  ip: string;
  status: Status;
  hold: Hold | null;
  allowed: boolean;
  /** The limit that binds. */
  binds: string | null;
  limit: number;
  remaining: number;
  retryAfterMs: number | null;
  resetAfterMs: number;
  day: QuotaWindow;
  hour: QuotaWindow;
  bucket: { size: number; level: number; fullAt: string | null } | null;
  next: { from: string; dailyLimit: number; hourlyCap: number } | null;
};
export type QuotaWindow = {
  limit: number;
  used: number;
  remaining: number;
  from: string | null;
  resetsAt: string | null;
};

export type PoolQuota = {
  poolId: string;
  name: string;
  allowed: boolean;
  remaining: number;
  retryAfterMs: number | null;
  resetAfterMs: number;
  because: { code: BecauseCode; ipId: string | null; until: string | null } | null;
  day: { limit: number; used: number; remaining: number };
  hour: { limit: number; used: number; remaining: number };
  ips: IpQuota[];
};

/** Why a take is answered as it is. */
export type DemandParams = {
  /** One IP, by address or id. */
  ip?: string;
  /** A pool, by id or name; neither is the whole account. */
  pool?: string;
  /** 1 to 48, the running hour among them. @default 2 */
  hours?: number;
};

/** Sends that were asked for, and of these granted and held; who asks again for what was held wants it again. */
export type DemandSums = {
  wanted: number;
  granted: number;
  held: number;
  /** By reason: `day`, `hour`, `burst`, `ceiling`, `count`, `hold`, `status`, `unpublished`, `unreachable`. */
  heldBy: Record<string, number>;
};

export type Demand = DemandSums & {
  ipId: string | null;
  poolId: string | null;
  /** The oldest first; the last one runs. */
  hours: (DemandSums & { from: string })[];
};

export type Explanation = {
  at: string;
  /** For people. */
  sentence: string;
  /** What the take would be answered now; its receipts are empty. */
  answer: TakeAnswer;
  /** `null` when one IP was named, or any of the account will do. */
  pool: {
    id: string;
    name: string;
    warmingShare: number;
    used: number;
    warmingUsed: number;
    /** Most of this take for warming IPs while an active one has room; `null` is all. */
    warmingMay: number | null;
    /** The limits of the pool itself. */
    ceiling: ExplainedLimits | null;
  } | null;
  /** IPs that were to choose from; `ips` has at most 128 of them. */
  ipCount: number;
  /** In the order of choice; then those without room, the soonest first. */
  ips: ExplainedIp[];
};

export type ExplainedLimits = {
  /** Sends now. */
  room: number;
  /** Of the limit that binds. */
  limit: number;
  remaining: number;
  /** Until it has room for the take; `null` is never. */
  retryAfterMs: number | null;
  roomAt: string | null;
  /** Sends that it then has room for. */
  roomThen: number | null;
  day: QuotaWindow;
  hour: QuotaWindow;
};

export type ExplainedIp = ExplainedLimits & {
  ip: string;
  ipId: string;
  /** `null` when it left a moment ago. */
  status: Status | null;
  hold: Hold | null;
  /** Whose clock `sentence` goes by. */
  zone: string;
  /** Sends of this take that it would grant. */
  granted: number;
  /** `status`, `hold`, `day`, `hour`, ...; `pool`: it has room, and its pool has not. */
  binds: string | null;
  bucket: { size: number; level: number; fullAt: string | null } | null;
  sentence: string;
};

export type ForecastParams = {
  /** Sends of the campaign, one for each recipient. */
  messages: number;
  /** Id or name; else the default pool, else all IPs of the account. */
  pool?: string;
  /** When the first message is offered; now unless said. */
  start?: string;
  /** Whose midnights part the days; unless said that of the IPs, if they have one. */
  zone?: string;
  /** Compare: with so many new IPs, whose warm-up starts today. */
  addIps?: number;
  /** Compare: with another plan for the IPs that warm up. */
  plan?: string;
};

type ForecastOutcome = {
  /** When the last message leaves; `null`: not before `until`. */
  finishesAt: string | null;
  sent: number;
  /** What comes later was not looked at. */
  until: string;
};

export type Forecast = ForecastOutcome & {
  at: string;
  /** For people. */
  sentence: string;
  /** What has to be so for this to come true. */
  assumes: string;
  messages: number;
  start: string;
  zone: string;
  pool: { id: string; name: string } | null;
  days: ForecastDay[];
  /** Those that carry the most, at most 128. */
  ips: { ip: string; ipId: string; status: Status; sends: number; never: 'status' | 'hold' | null }[];
  ipCount: number;
  /** What else could be done. */
  variants: (ForecastOutcome & {
    addIps: number;
    plan: string | null;
    /** Than without; negative is later. */
    soonerMs: number | null;
    sentence: string;
  })[];
};

export type ForecastDay = {
  date: string;
  from: string;
  to: string;
  sends: number;
  /** By the end of this day. */
  total: number;
  /** What held it up most. */
  binds: string | null;
  ipCount: number;
  ips: { ip: string; sends: number }[];
};

// ---- the operator's side

export type AddAddressesParams = {
  /** Addresses and ranges: `203.0.113.0/28`, `2001:db8::5`. */
  addresses: string[];
  region?: string | null;
  hostname?: string | null;
  bind?: string | null;
  whitelabeled?: boolean;
  /** Name or id: the addresses are put on this account at once. */
  account?: string | null;
  status?: 'provisioning' | 'active';
  leased?: boolean;
};
/** `account` and `data` when the addresses were put on an account. */
export type AddedAddresses = { added: number; account?: string; data?: DedicatedIp[] };

export type InventoryAddress = {
  address: string;
  region: string | null;
  hostname: string | null;
  bind: string | null;
  leased: boolean;
  whitelabeled: boolean;
  state: 'free' | 'reserved' | 'held';
  account: string | null;
  ipId: string | null;
};

export type Account = {
  id: string;
  /** What clients of v3 name it by. */
  number: number;
  name: string;
  parentId: string | null;
  createdAt: string;
};
export type CreateAccountParams = {
  name: string;
  /** Name or id of the account that it is a subuser of. */
  parent?: string | null;
};

export type Scope = 'read' | 'send' | 'write' | 'admin';
export type ApiKey = {
  id: string;
  account: string;
  accountId: string;
  name: string | null;
  /** What the key begins and ends with. */
  prefix: string;
  last4: string;
  scopes: Scope[];
  poolIps: 'strings' | 'objects';
  createdAt: string;
  expiresAt: string | null;
  /** To the minute, about. */
  lastUsedAt: string | null;
};
/** `key` is shown this once. */
export type CreatedApiKey = ApiKey & { key: string };
export type CreateKeyParams = {
  /** Name or id. */
  account: string;
  /** `read`, `send` and `write` unless said. */
  scopes?: Scope[];
  /** What the key begins with, for clients that insist on it: `SG.`, `veil_live_`. */
  prefix?: string;
  name?: string | null;
  /** An instant, or a duration from now (`P90D`); never unless said. */
  expires?: string | null;
  /** How v3 shows the IPs of a pool to this key. */
  poolIps?: 'strings' | 'objects';
};

/** What the engine did by itself while a test clock moved. */
export type EngineChange = {
  ip: string;
  ipId: string;
  /** `status`, `hold`, `pool`, ... */
  what: string;
  from: unknown;
  to: unknown;
  because: string;
  by: string;
};

export type ChangesParams = {
  /** The id of the last change that you have seen, or an instant. */
  since?: string;
  limit?: number;
  cursor?: string;
};

/** One line of the account's stream. */
export type Change = Omit<EngineChange, 'ip' | 'ipId'> & {
  /** Its place in the stream; `since` goes on after it. */
  id: string;
  at: string;
  /** `null` where no IP is concerned. */
  ip: string | null;
  ipId: string | null;
};

export type AdvanceParams = {
  /** An ISO 8601 duration: `P1D`. Either this or `to`. */
  by?: string;
  to?: string;
  /** `false` moves time as if no worker ran. */
  work?: boolean;
};
export type Advanced = { now: string; changes: EngineChange[] };

// ---- webhooks

/** A newer API may know others. */
export type WebhookEventType =
  | 'ip.status_changed'
  | 'ip.quota_used'
  | 'ip.hold_changed'
  | 'pool.hold_changed'
  | (string & {});

export type Webhook = {
  id: string;
  url: string;
  events: WebhookEventType[];
  description: string | null;
  enabled: boolean;
  disabledBecause: string | null;
  /** Since when every attempt has failed. */
  failingSince: string | null;
  createdAt: string;
  updatedAt: string;
};
/** `secret` signs what is sent, and is shown this once. */
export type CreatedWebhook = Webhook & { secret: string };
export type CreateWebhookParams = {
  url: string;
  /** All unless said. */
  events?: ('ip.status_changed' | 'ip.quota_used' | 'ip.hold_changed' | 'pool.hold_changed')[];
  description?: string | null;
};
export type UpdateWebhookParams = Partial<CreateWebhookParams> & { enabled?: boolean };

/** One attempt to send one event. */
export type WebhookDelivery = {
  eventId: string;
  type: WebhookEventType;
  at: string;
  attempt: number;
  outcome: 'delivered' | 'failed' | 'given_up';
  status: number | null;
  ms: number;
  error: string | null;
  nextAttemptAt: string | null;
};

/** What is sent to a webhook. */
export type WebhookEvent = {
  /** The same however often it comes. */
  id: string;
  type: WebhookEventType;
  at: string;
  accountId: string;
  data: Record<string, unknown>;
};
