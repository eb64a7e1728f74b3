/**
 * What a fuzz run plays on: the real API on a real Redis and a test clock, listening on loopback; an operator, an account
 * whose keys are in the wrong hands, and another one that must come out of it as it went in.
 */
import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { createAccount } from '../../src/fleet/accounts.ts';
import { createApiKey, replaceEnvironmentKey } from '../../src/fleet/api-keys.ts';
import { addToInventory } from '../../src/fleet/inventory.ts';
import { createPool } from '../../src/fleet/pools.ts';
import { createApi } from '../../src/http/server.ts';
import { accountPrefix, directoryKeys } from '../../src/redis/keys.ts';
import { createLog } from '../../src/runtime/log.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';

export const ADMIN_KEY = 'wl_fuzz_operator_0123456789abcdef';

export const CALLERS = ['operator', 'owner', 'reader', 'mailer', 'stranger', 'nobody'] as const;
export type Caller = (typeof CALLERS)[number];

/** What a caller may name: what it has seen in answers, the newest last, and bounded. */
export type Things = Record<
  'ip' | 'address' | 'pool' | 'poolName' | 'poolNumber' | 'receipt' | 'cursor' | 'webhook' | 'key',
  string[]
>;

export type Stage = {
  readonly fleet: Fleet;
  readonly app: FastifyInstance;
  readonly port: number;
  readonly keys: Readonly<Record<Caller, string | null>>;
  /** Of the operator's account, and of the one whose keys went astray. */
  readonly things: Readonly<Record<'operator' | 'owner', Things>>;
  /** Of the account that is none of the caller's business. */
  readonly theirs: Things;
  /** What no answer and no log may hold, with what it is. */
  readonly secrets: Map<string, string>;
  /** What was logged since the last call. */
  takeLog(): string[];
  /** Everything that Redis holds of the other account, key by key. */
  dumpOfOther(): Promise<Record<string, string>>;
  stop(): Promise<void>;
};

export const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

const noThings = (): Things => ({
  ...{ ip: [], address: [], pool: [], poolName: [], poolNumber: [] },
  ...{ receipt: [], cursor: [], webhook: [], key: [] },
});

/** The instant at which each run begins. */
const BEGIN = Date.UTC(2026, 0, 10, 10);

export async function openStage(): Promise<Stage> {
  const fleet = await startFleet({ clock: BEGIN });
  const { engine, redis } = fleet;
  await replaceEnvironmentKey(engine, ADMIN_KEY);
  const lines: string[] = [];
  const log = createLog({
    level: 'debug',
    pretty: false,
    stream: { write: (line) => void lines.push(line) },
  });
  // No worker runs, so nothing is ever sent to an address that a webhook names.
  const app = await createApi({ engine, log, webhooksMayBePrivate: true });
  await app.listen({ host: '127.0.0.1', port: 0 });

  await addToInventory(engine, { addresses: ['198.51.100.0/26', '2001:db8:f::/123'] });
  const owner = await createAccount(engine, 'astray');
  await createAccount(engine, 'subuser-one', { parent: 'astray' });
  const { theirs, other } = await furnishOther(fleet);
  const keyFor = async (scopes: ('read' | 'send' | 'write')[]) =>
    (await createApiKey(engine, { account: owner.name, scopes })).key;
  const keys = {
    operator: ADMIN_KEY,
    owner: await keyFor(['read', 'send', 'write']),
    reader: await keyFor(['read']),
    mailer: await keyFor(['send']),
    stranger: 'wl_nobody_has_this_key_0123456789',
    nobody: null,
  };
  const secrets = new Map<string, string>();
  for (const [name, key] of Object.entries(keys)) {
    if (key === null || name === 'stranger') continue;
    secrets.set(key, `the key of the ${name}`);
    secrets.set(hashOf(key), `the hash of the key of the ${name}`);
  }
  const signing = await redis.get(directoryKeys.receiptSecret);
  if (signing) secrets.set(signing, 'the secret that signs receipts');

  const prefix = accountPrefix(other);
  return {
    fleet,
    app,
    port: (app.server.address() as AddressInfo).port,
    keys,
    things: { operator: noThings(), owner: noThings() },
    theirs,
    secrets,
    takeLog: () => lines.splice(0),
    async dumpOfOther() {
      const names = (await redis.keys(`${prefix}*`)).sort();
      const values = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
      return Object.fromEntries(names.map((name, index) => [name, values[index]!.toString('base64')]));
    },
    async stop() {
      await app.close();
      await fleet.stop();
    },
  };
}

/** Somebody with an active IP, a warming one, a pool, a hold and receipts. */
async function furnishOther(fleet: Fleet) {
  const house = await fleet.house('other');
  const active = await house.bring({ status: 'active' });
  const warming = await house.warming();
  const pool = await createPool(house.tenant, { name: 'theirs', ips: [active.id] });
  const { granted } = await house.limiter.take({ ip: warming.id, count: 3 });
  const theirs: Things = {
    ...noThings(),
    ip: [active.id, warming.id],
    address: [active.address, warming.address],
    pool: [pool.id],
    poolName: ['theirs'],
    poolNumber: [String(pool.number)],
    receipt: granted.map(({ receipt }) => receipt),
  };
  return { theirs, other: house.tenant.account };
}
