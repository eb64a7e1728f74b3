/**
 * The record of an IP as Redis keeps it: readable JSON, `{"rev":N,` first so that a script can read the revision without
 * parsing the rest, and without what goes without saying. Most IPs have no hold, no ceiling, no label: what is left is 250
 * bytes instead of 640.
 */
import { DedicatedIp, NO_CEILING, RECORD_VERSION } from './dedicated-ip.ts';

/**
 * What a record need not say. These values are part of the layout: changing one changes the meaning of the records that
 * leave it out.
 */
const UNSAID = {
  region: null,
  hostname: null,
  bind: null,
  leased: true,
  labels: {},
  whitelabeled: true,
  autoWarmup: false,
  parentAssigned: true,
  subusers: [],
  ceiling: NO_CEILING,
  holds: [],
  pools: [],
  warmup: null,
  cooldown: null,
  history: [],
} as const;
const UNSAID_OF_WARMUP = {
  plan: 'fourteen-day+sendgrid-hourly',
  totalDays: 14,
  zone: 'UTC',
  dayStartsAt: 'start',
  burst: null,
  completedAtMs: null,
  adjustments: [],
  pausedAtMs: null,
} as const;

/** Since when it has its status, and when it was changed last, if the record does not say. */
const statusSince = (ip: Pick<DedicatedIp, 'status' | 'createdAtMs'> & { warmup?: unknown }) =>
  ip.status === 'warming' && ip.warmup ? (ip.warmup as { startedAtMs: number }).startedAtMs : ip.createdAtMs;
const updatedAt = ({ history, createdAtMs }: { history?: readonly unknown[][]; createdAtMs: number }) =>
  createdAtMs + Number(history?.[0]?.[0] ?? 0);

export function storedIp(ip: DedicatedIp): string {
  const { rev, version, id: _, statusSinceMs, updatedAtMs, warmup, history, ...rest } = ip;
  return JSON.stringify({
    rev,
    version,
    ...saying(rest, UNSAID),
    ...(statusSinceMs === statusSince(ip) ? {} : { statusSinceMs }),
    ...(updatedAtMs === updatedAt(ip) ? {} : { updatedAtMs }),
    ...(warmup === null ? {} : { warmup: saying(warmup, UNSAID_OF_WARMUP) }),
    ...(history.length === 0 ? {} : { history }),
  });
}

/** The fields whose value is not the one that goes without saying. */
function saying(fields: Record<string, unknown>, unsaid: Record<string, unknown>): Record<string, unknown> {
  const said: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    const usual = unsaid[name];
    const isUsual =
      value === usual ||
      (typeof value === 'object' && value !== null && JSON.stringify(value) === JSON.stringify(usual));
    if (!isUsual) said[name] = value;
  }
  return said;
}

type Said = Partial<DedicatedIp> & Pick<DedicatedIp, 'status' | 'createdAtMs'>;

const completed = (id: string, said: Said) => ({
  ...UNSAID,
  id,
  statusSinceMs: statusSince(said),
  updatedAtMs: updatedAt(said),
  ...said,
  warmup: said.warmup ? { ...UNSAID_OF_WARMUP, ...said.warmup } : null,
});

/**
 * @throws when the record was written by a later version: writing it back would drop what this one cannot read.
 */
export function readStoredIp(id: string, text: string): DedicatedIp {
  const said = JSON.parse(text) as Said;
  if ((said.version ?? 0) > RECORD_VERSION) {
    throw new Error(
      `the record of ${id} has version ${said.version}, this process writes ${RECORD_VERSION}; upgrade it to the version that runs elsewhere`,
    );
  }
  const ip = DedicatedIp.parse(said.version === 1 ? said : completed(id, said));
  // The script that saves reads the revision from the front; of a record written by hand it would find none, for ever.
  if (!text.startsWith(`{"rev":${ip.rev},`)) {
    throw new Error(
      `the record of ${id} does not begin with {"rev":${ip.rev}; write it back as it was, with rev first`,
    );
  }
  return ip;
}
