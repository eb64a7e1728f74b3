/**
 * What an IP has sent, as a backup has it: the fields of its hash in Redis (layout in `lua/counter.lua`), each in base64.
 * The scripts that file what is sent believe what they find there, and end where it has another form: so it is looked at.
 */
import { z } from 'zod';
import { LAST_INSTANT_MS } from '../../warmup/dedicated-ip.ts';

/**
 * Hours, or days, of one IP. 48 and 128 are kept, and an earlier build kept up to a whole run, 60, more; each filing reads
 * them all.
 */
const MOST_SLOTS = 256;
/** What a slot counts up to, in 5 bytes of 7 bits. */
const MOST_SENDS = 2 ** 32 - 1;
const LONGEST_SENDS = 5;
/** As earlier builds filed it: from as a double, sends as four bytes. */
const ENTRY = 12;

export const Sent = z.record(z.string(), z.base64()).superRefine((sent, ctx) => {
  const slots = { h: 0, d: 0 };
  for (const [field, value] of Object.entries(sent)) {
    const packed = Buffer.from(value, 'base64');
    const count = field === 'closed' ? lastSeq(packed) : slotsOf(field, packed);
    const kind = field.startsWith('h') ? 'h' : 'd';
    if (count !== null && field !== 'closed') slots[kind] += count;
    if (count !== null && slots[kind] <= MOST_SLOTS) continue;
    ctx.addIssue({ code: 'custom', path: [field], message: 'it is not as Warmline files what was sent' });
    return;
  }
});

/** Receipts up to this one credit nothing. Redis writes a large number as 1e+15. */
function lastSeq(packed: Buffer): number | null {
  const text = packed.toString('latin1');
  const seq = Number(text);
  return /^\d[\d.e+]{0,20}$/.test(text) && Number.isSafeInteger(seq) ? seq : null;
}

/** How many hours or days a field has; `null`: it has not the form of one. */
function slotsOf(field: string, packed: Buffer): number | null {
  if (field === 'hours' || field === 'days') return entriesIn(packed);
  const [, fromMs] = /^[hd](0|[1-9]\d{0,15})$/.exec(field) ?? [];
  return fromMs !== undefined && Number(fromMs) <= LAST_INSTANT_MS ? slotsInRun(packed) : null;
}

function entriesIn(packed: Buffer): number | null {
  if (packed.length % ENTRY !== 0) return null;
  for (let at = 0; at < packed.length; at += ENTRY) {
    const fromMs = packed.readDoubleLE(at);
    if (!Number.isInteger(fromMs) || fromMs < 0 || fromMs > LAST_INSTANT_MS) return null;
  }
  return packed.length / ENTRY;
}

function slotsInRun(packed: Buffer): number | null {
  let [slots, bytes, sends] = [0, 0, 0];
  for (const byte of packed) {
    sends += (byte % 128) * 128 ** bytes;
    bytes += 1;
    if (bytes > LONGEST_SENDS || sends > MOST_SENDS) return null;
    if (byte >= 128) continue;
    slots += 1;
    [bytes, sends] = [0, 0];
  }
  return slots > 0 && bytes === 0 ? slots : null;
}
