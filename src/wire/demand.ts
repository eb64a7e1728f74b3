/** What senders wanted beside what they were granted, in JSON. */
import { z } from 'zod';
import { text, wholeNumberText } from './parse.ts';

const HOURS_KEPT = 48;

export const DemandQuery = z.strictObject({
  ip: text(100).optional().describe('One IP, by address or id.'),
  pool: text(200).optional().describe('A pool, by id or name; neither is the whole account.'),
  hours: wholeNumberText(1, HOURS_KEPT)
    .optional()
    .describe('How many hours, the running one among them; 2 unless said, 48 are kept.'),
});

const sends = (what: string) => z.number().int().nonnegative().describe(what);
const sums = {
  wanted: sends('Sends that were asked for; who asks again for what was denied wants it again.'),
  granted: sends('Of these granted.'),
  held: sends('Of these denied.'),
  heldBy: z
    .record(z.string(), z.number().int().positive())
    .describe(
      'The same by reason: `day`, `hour`, `burst`, `ceiling`, `count`, `hold`, `status`, `unpublished`, `unreachable`.',
    ),
};

export const DemandShape = z
  .strictObject({
    ipId: z.string().nullable(),
    poolId: z.string().nullable(),
    ...sums,
    hours: z
      .array(z.strictObject({ from: z.iso.datetime({ offset: true }), ...sums }))
      .describe('Hours of the clock in UTC, the oldest first; the last one runs.'),
  })
  .meta({
    id: 'Demand',
    description:
      'What senders asked for by naming this IP or this pool; of the account all of it. What senders in other processes asked for comes up to ten seconds late.',
  });
export type DemandAnswer = z.output<typeof DemandShape>;
