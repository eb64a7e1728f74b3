/**
 * What every use case is handed: Redis with the scripts, the schedules, the ids. Nothing below asks the environment, so
 * a simulation can run the same code with its own clock and its own ids.
 */
import { randomBytes } from 'node:crypto';
import { type AccountKeys, type AccountRef, accountKeys, directoryKeys } from '../redis/keys.ts';
import { engineNow, type Scripts } from '../redis/scripts.ts';
import type { ScheduleBook } from '../warmup/plan.ts';
import type { Once } from './idempotency.ts';

export type Engine = {
  readonly scripts: Scripts;
  readonly book: ScheduleBook;
  /** How long a released address rests before it may be used again. */
  readonly cooldownMs: number;
  /** A new id, never given before: `ip_4k2...`. */
  newId(kind: IdKind): string;
  /** The ids come again when the request is repeated (see `idempotency.ts`), so what has one may be there already. */
  readonly repeats?: boolean;
};

export type IdKind = 'ip' | 'pool' | 'acct' | 'alloc' | 'key' | 'hook';

/** 16 bytes are 128 bits: two equal ids are not to be expected in the life of the universe. */
export const randomId = (kind: string) =>
  `${kind}_${BigInt(`0x${randomBytes(16).toString('hex')}`).toString(36)}`;

/** The next number of the installation, for what clients name by number: pools and accounts share one counter. */
export const nextNumber = ({ scripts }: Engine): Promise<number> => scripts.redis.incr(directoryKeys.numbers);

/** Engine time for what is no account's own: accounts, API keys, the test clock. */
export const nowOf = (engine: Engine) => engineNow(engine.scripts, directoryKeys.accounts);

/** A tenant's view of the engine: its keys, and who acts. */
export type Tenant = {
  readonly engine: Engine;
  readonly account: AccountRef;
  readonly keys: AccountKeys;
  /** Who is acting, for the stream of changes: `key:<name>`, `engine`. */
  readonly by: string;
  /** For a request that may be repeated: what it has done already is not done again. */
  readonly once?: Once;
};

export const tenantOf = (engine: Engine, account: AccountRef, by: string): Tenant => ({
  engine,
  account,
  keys: accountKeys(account),
  by,
});

/** Engine time of an account: that of the Redis where it lives, which decides its quotas. */
export const nowIn = ({ engine, keys }: Tenant) => engineNow(engine.scripts, keys.account);
