/** The record of a pool. */
import { z } from 'zod';
import { Ceiling, Hold, instantMs } from '../warmup/dedicated-ip.ts';

/** As SendGrid has it, for both dialects. */
export const MOST_IPS_PER_POOL = 100;

export const Pool = z.object({
  rev: z.number().int(),
  id: z.string(),
  /** What the v3 dialect names it by; 0: made before pools had numbers. */
  number: z.number().int().nonnegative().default(0),
  name: z.string(),
  createdAtMs: instantMs,
  updatedAtMs: instantMs,
  /** The part of an hour's mail that warming IPs may carry while an active one has room, 0 to 1. */
  warmingShare: z.number().min(0).max(1),
  ceiling: Ceiling,
  hold: Hold.nullable(),
  /** The place of the IP that joined last, so that IPs stand in the order in which they joined. */
  lastPlace: z.number().nonnegative().default(0),
});
export type Pool = z.infer<typeof Pool>;
