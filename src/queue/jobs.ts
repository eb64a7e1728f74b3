/**
 * The jobs of the worker. A job carries no truth: what is due is known to Redis by engine time, so a job that is lost is
 * still due, and one that comes twice changes nothing.
 */
import { z } from 'zod';

/** A look at all accounts. A large sweep is divided into shares. */
export const TICK = 'tick';
/** One share of a large sweep. */
export const SHARE = 'share';

export const Share = z.object({ index: z.number().int().nonnegative(), of: z.number().int().positive() });
export type Share = z.infer<typeof Share>;

/** A share that waits already is not added again. (BullMQ refuses `:` in an id.) */
export const shareJobId = ({ index, of }: Share) => `share-${index}-of-${of}`;
