/**
 * What happened, as events for webhooks. The account's stream of changes is the truth about what there is to tell, and a
 * stored place in it says what was told: it moves on only after the events are in the queue. So nothing is lost with a
 * worker, and what is told twice has the same id, under which the queue knows it and so can the receiver.
 */
import { createHash } from 'node:crypto';
import { unpackHot } from '../redis/hot-record.ts';
import { type AccountRef, webhookKeys } from '../redis/keys.ts';
import { windowAt } from '../warmup/counter.ts';
import { ACCOUNT_SCOPE } from '../warmup/dedicated-ip.ts';
import { instant } from '../wire/parse.ts';
import { keptChangeOf } from '../wire/v1.ts';
import type { EventType, WebhookEvent } from '../wire/webhooks.ts';
import { accountOfId } from './accounts.ts';
import { hotRecordsOf } from './census.ts';
import { isBefore, type KeptChange, readChanges } from './changes.ts';
import { type Engine, nowIn, type Tenant, tenantOf } from './engine.ts';
import { type AskedTest, Webhook, wants } from './webhooks.ts';

/** One event for one webhook. */
export type Outgoing = { account: AccountRef; webhookId: string; event: WebhookEvent };
export type Send = (outgoing: readonly Outgoing[]) => Promise<void>;

/** So many changes are read at a time. */
const PAGE = 500;

/**
 * One of all workers does what comes round, so that the others need not; that nothing is told twice does not rest on this.
 * @returns whether it is ours, until the next time
 */
export async function takeTurn({ scripts }: Engine, what: string, everyMs: number): Promise<boolean> {
  const key = webhookKeys.turn(what);
  return (await scripts.redis.set(key, 1, 'PX', Math.max(1, Math.floor(everyMs * 0.9)), 'NX')) === 'OK';
}

/** Accounts never change their place, so they are looked up once. */
export async function* accountsWithWebhooks(
  engine: Engine,
  known: Map<string, AccountRef>,
): AsyncGenerator<Tenant> {
  let cursor = '0';
  do {
    const [next, ids] = await engine.scripts.redis.sscan(webhookKeys.accounts, cursor, 'COUNT', 500);
    for (const id of ids) {
      const account = known.get(id) ?? (await accountOfId(engine, id));
      if (!account) continue;
      known.set(id, { id: account.id, parentId: account.parentId });
      yield tenantOf(engine, account, 'engine');
    }
    cursor = next;
  } while (cursor !== '0');
}

/**
 * Hands over what the account's webhooks have not been told yet.
 * @param onGap the stream has dropped changes before anybody was told
 */
export async function relayChanges(tenant: Tenant, send: Send, onGap: () => void = () => {}): Promise<void> {
  const { engine, keys, account } = tenant;
  const { redis } = engine.scripts;
  const [records, position, tests] = await Promise.all([
    redis.hvals(keys.webhooks),
    redis.get(keys.webhookPosition),
    redis.lrange(keys.webhookTests, 0, -1),
  ]);
  const webhooks = records.map((raw) => Webhook.parse(JSON.parse(raw))).filter(({ enabled }) => enabled);
  if (tests.length > 0) await relayTests(tenant, tests, send);
  const [first, ...others] = webhooks;
  if (!first) return;

  // What came before the oldest of them is nobody's business.
  let after = others.reduce((oldest, { after: at }) => (isBefore(at, oldest) ? at : oldest), first.after);
  if (position !== null && isBefore(after, position)) after = position;
  let stored = position ?? '';
  for (;;) {
    const { changes, last, gap } = await readChanges(tenant, { after, fromMs: null, limit: PAGE });
    if (gap) onGap();
    const newest = changes.at(-1)?.id;
    if (newest === undefined) return;
    const outgoing = changes.flatMap((change) => {
      const event = eventOf(account, change);
      if (!event) return [];
      return webhooks
        .filter((webhook) => wants(webhook, event.type) && isBefore(webhook.after, change.id))
        .map(({ id }): Outgoing => ({ account, webhookId: id, event }));
    });
    if (outgoing.length > 0) await send(outgoing);
    const moved = await engine.scripts.run('webhook-advance', [keys.webhookPosition, stored, newest]);
    // Another worker does the same; it goes on from where it is.
    if (Number(moved) === 0 || last === null) return;
    stored = newest;
    after = newest;
  }
}

async function relayTests(
  { engine, keys, account }: Tenant,
  tests: readonly string[],
  send: Send,
): Promise<void> {
  await send(
    tests.map((raw) => {
      const { webhookId, eventId, at } = JSON.parse(raw) as AskedTest;
      const data = { message: 'This is a test; nothing happened.' };
      const event: WebhookEvent = { id: eventId, type: 'webhook.test', at, accountId: account.id, data };
      return { account, webhookId, event };
    }),
  );
  for (const raw of tests) await engine.scripts.redis.lrem(keys.webhookTests, 1, raw);
}

/** The same for the same, in any process: what an event is about decides its id. */
const idOf = (...about: readonly (string | number)[]) =>
  `evt_${createHash('sha256').update(about.join(':')).digest('hex').slice(0, 32)}`;

function eventOf(account: AccountRef, change: KeptChange): WebhookEvent | null {
  const type = typeOf(change);
  if (!type) return null;
  const { id, at, what: _, ip, ipId, ...rest } = keptChangeOf(change);
  const whose = type === 'pool.hold_changed' ? { poolId: poolOf(change) } : { ip, ipId };
  return { id: idOf(account.id, id), type, at, accountId: account.id, data: { ...whose, ...rest } };
}

function typeOf(change: KeptChange): EventType | null {
  const { what, ipId } = change;
  if (what === 'status' && ipId) return 'ip.status_changed';
  if (what !== 'hold') return null;
  // Of a stop of the account each IP tells.
  if (!ipId && poolOf(change) === ACCOUNT_SCOPE) return null;
  return ipId ? 'ip.hold_changed' : 'pool.hold_changed';
}

/** The hold says whose it is. */
const poolOf = ({ from, to }: KeptChange) =>
  ((to ?? from) as { scope?: string } | null | undefined)?.scope ?? null;

// ---- quotas

/** Of the daily limit of a warming IP; each is told once a warm-up day. */
const PERCENTS = [80, 90, 100];
/** So many hot records are read at a time: about 150 KB, and a millisecond. */
const RECORDS = 500;

/** Looks at every warming IP of the account, if any webhook wants to know. Never blocks a take for longer than a page takes. */
export async function relayQuotas(tenant: Tenant, send: Send): Promise<void> {
  const { engine, keys, account } = tenant;
  const { redis } = engine.scripts;
  const records = await redis.hvals(keys.webhooks);
  const webhooks = records
    .map((raw) => Webhook.parse(JSON.parse(raw)))
    .filter((webhook) => webhook.enabled && wants(webhook, 'ip.quota_used'));
  if (webhooks.length === 0) return;
  const at = instant(await nowIn(tenant));
  const seen = new Set<string>();
  for (let from = '-'; ; ) {
    const members = await redis.zrangebylex(keys.warming, from, '+', 'LIMIT', 0, RECORDS);
    if (members.length === 0) break;
    const ids = members.map((member) => member.slice(member.indexOf(':') + 1));
    const [hot, told] = await Promise.all([
      hotRecordsOf(tenant, members),
      redis.hmget(keys.webhookTold, ...ids),
    ]);
    const outgoing: Outgoing[] = [];
    const nowTold: string[] = [];
    for (const [index, raw] of hot.entries()) {
      const ipId = ids[index]!;
      seen.add(ipId);
      const used = raw && usedOfDay(raw);
      if (!used) continue;
      const { dayFromMs, dayToMs, limit, ip } = used;
      const [day, percent] = (told[index] ?? '').split(':').map(Number);
      const known = day === dayFromMs ? (percent ?? 0) : 0;
      const fresh = PERCENTS.filter((one) => one > known && used.used * 100 >= limit * one);
      if (fresh.length === 0) continue;
      for (const one of fresh) {
        const data = {
          ...{ ip, ipId, percent: one, used: used.used, dailyLimit: limit },
          ...{ dayFrom: instant(dayFromMs), dayTo: instant(dayToMs) },
        };
        const id = idOf(account.id, ipId, dayFromMs, one);
        const event: WebhookEvent = { id, type: 'ip.quota_used', at, accountId: account.id, data };
        for (const webhook of webhooks) outgoing.push({ account, webhookId: webhook.id, event });
      }
      nowTold.push(ipId, `${dayFromMs}:${fresh.at(-1)}`);
    }
    if (outgoing.length > 0) {
      await send(outgoing);
      await redis.hset(keys.webhookTold, ...nowTold);
    }
    if (members.length < RECORDS) break;
    from = `(${members.at(-1)}`;
  }
  await forgetOthers(tenant, seen);
}

/** The day that the record counts; `null` where nothing was taken yet, and for a day without a limit. */
function usedOfDay(raw: Buffer) {
  const { state, quota, texts } = unpackHot(raw);
  const window = windowAt(quota, state.dayFromMs);
  const limit = window.limits.dailyLimit;
  // Of a day before the published ones the limit is not known any more.
  if (limit === null || window.fromMs !== state.dayFromMs || quota.gate !== 'warming') return null;
  return { ip: texts.address, used: state.dayUsed, limit, dayFromMs: window.fromMs, dayToMs: window.toMs };
}

/** What was told of IPs that do not warm up any more is dropped, so that there is one line for each that does, at most. */
async function forgetOthers({ engine, keys }: Tenant, warming: ReadonlySet<string>): Promise<void> {
  const { redis } = engine.scripts;
  if ((await redis.hlen(keys.webhookTold)) <= warming.size) return;
  const gone = (await redis.hkeys(keys.webhookTold)).filter((id) => !warming.has(id));
  if (gone.length > 0) await redis.hdel(keys.webhookTold, ...gone);
}
