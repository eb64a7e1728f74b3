/**
 * The file of a backup: JSON lines. The first says what it is, the last how many there were and their SHA-256; so a file
 * that was cut off or changed is known before anything of it is believed.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { instantMs } from '../../warmup/dedicated-ip.ts';
import { invalid } from '../../warmup/errors.ts';
import { Plan } from '../../warmup/plan.ts';
import { ApiKey } from '../api-keys.ts';
import { Pool } from '../pool.ts';
import { Webhook } from '../webhooks.ts';
import { Sent } from './sent.ts';

export const FORMAT = 'warmline-account';
export const FORMAT_VERSION = 1;

/** What to do when somebody was in the way of a restore that has begun. */
export const AGAIN = 'call it again with the same file';

/**
 * The number of an account or a pool. The highest of a file becomes the last that the installation has given, so it must
 * leave room: no installation gives 2^40 in its life, and it counts 8 000 times further before a double has a gap.
 */
const numberGiven = z
  .number()
  .int()
  .max(2 ** 40);
const accountId = z.string().regex(/^acct_[0-9a-z]+$/);
const StoredAccount = z.object({
  id: accountId,
  number: numberGiven.positive(),
  name: z.string(),
  parentId: accountId.nullable(),
  createdAtMs: instantMs,
});
export type StoredAccount = z.infer<typeof StoredAccount>;

const Head = z.object({
  kind: z.literal('head'),
  format: z.literal(FORMAT),
  version: z.literal(FORMAT_VERSION),
  /** Engine time, at which all of this was so. */
  takenAtMs: instantMs,
  clock: z.enum(['real', 'test']),
  account: StoredAccount,
});
const InventoryEntry = z.object({
  ...{ region: z.string().nullable(), hostname: z.string().nullable(), bind: z.string().nullable() },
  ...{ leased: z.boolean(), whitelabeled: z.boolean() },
});
const Line = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('subuser'), account: StoredAccount }),
  /** What stops the whole account, also IPs that come later: as Redis keeps it. */
  z.object({ kind: z.literal('stop'), record: z.string().startsWith('{"rev":') }),
  z.object({ kind: z.literal('plan'), digest: z.string(), plan: Plan }),
  z.object({
    kind: z.literal('pool'),
    pool: Pool.extend({
      id: z.string().regex(/^pool_[0-9a-z]+$/),
      number: numberGiven.nonnegative().default(0),
    }),
    isDefault: z.boolean(),
    /** Its IPs with their places. */
    ips: z.array(z.tuple([z.string(), z.number()])),
  }),
  z.object({
    kind: z.literal('ip'),
    id: z.string().regex(/^ip_[0-9a-z]+$/),
    /** As Redis keeps it. */
    record: z.string(),
    /** What the inventory knows of its address. */
    entry: InventoryEntry,
    /** What it has sent, packed: field -> base64. */
    sent: Sent,
  }),
  z.object({
    kind: z.literal('key'),
    hash: z.string().regex(/^[0-9a-f]{64}$/),
    record: ApiKey.extend({ id: z.string().regex(/^key_[0-9a-z]+$/) }),
  }),
  z.object({
    kind: z.literal('webhook'),
    webhook: Webhook.extend({ id: z.string().regex(/^hook_[0-9a-z]+$/) }),
  }),
  z.object({
    kind: z.literal('change'),
    // Behind the last possible id a stream takes no other.
    id: z.string().regex(/^[1-9]\d{0,14}-\d{1,15}$/),
    change: z.string(),
  }),
]);
const End = z.object({ kind: z.literal('end'), lines: z.number().int(), sha256: z.string() });

export type Head = z.infer<typeof Head>;
export type Line = z.infer<typeof Line>;
export type LineOf<Kind extends Line['kind']> = Extract<Line, { kind: Kind }>;
export type Backup = { head: Head; lines: Line[]; sha256: string };

export const linesOf = <Kind extends Line['kind']>(lines: readonly Line[], kind: Kind): LineOf<Kind>[] =>
  lines.filter((line): line is LineOf<Kind> => line.kind === kind);

/** What would keep a line from being read again; `null`: nothing. */
export function whatIsUnreadableIn(line: Head | Line): string | null {
  return faultOf((line.kind === 'head' ? Head : Line).safeParse(line));
}

function faultOf({ error }: { error?: z.ZodError | undefined }): string | null {
  const [issue] = error?.issues ?? [];
  return issue ? `${issue.path.join('.')}: ${issue.message}` : null;
}

/** Adds the last line to what was written. */
export function sealing() {
  const hash = createHash('sha256');
  let lines = 0;
  return {
    line(value: Head | Line): string {
      const text = `${JSON.stringify(value)}\n`;
      hash.update(text);
      lines += 1;
      return text;
    },
    end: () => `${JSON.stringify({ kind: 'end', lines, sha256: hash.digest('hex') })}\n`,
  };
}

/** @throws WarmlineError `invalid`, in one sentence */
export function readBackup(text: string): Backup {
  const bad = (sentence: string) => invalid('file', sentence);
  const all = text.split('\n');
  if (all.pop() !== '') throw bad('the file ends in the middle of a line; it was cut off, take another copy');
  const first = jsonOf(all[0]);
  if ((first as { format?: unknown } | undefined)?.format !== FORMAT) {
    throw bad('this is no backup of an account; "warmline backup <account>" makes one');
  }
  const { version } = first as { version?: unknown };
  if (version !== FORMAT_VERSION) {
    throw bad(
      `this backup has format ${JSON.stringify(version)}, and this version of Warmline reads ${FORMAT_VERSION}; restore it with the version that made it`,
    );
  }
  const end = End.safeParse(jsonOf(all.at(-1)));
  if (!end.success) throw bad('the last line of the file is missing; it was cut off, take another copy');
  const body = all.slice(0, -1);
  const sha256 = createHash('sha256')
    .update(body.map((line) => `${line}\n`).join(''))
    .digest('hex');
  if (end.data.lines !== body.length || end.data.sha256 !== sha256) {
    throw bad('the file is not as it was written: its checksum differs; take another copy');
  }
  const [head, ...lines] = body.map((line, index) => {
    const parsed = (index === 0 ? Head : Line).safeParse(jsonOf(line));
    if (parsed.success) return parsed.data;
    throw bad(`line ${index + 1} of the file cannot be read (${faultOf(parsed)})`);
  });
  return { head: head as Head, lines: lines as Line[], sha256 };
}

function jsonOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}
