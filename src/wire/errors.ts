/** How the two dialects write a refusal. */
import { z } from 'zod';

export const ERROR_CODES = [
  'validation_error',
  'authentication_error',
  'forbidden',
  'not_found',
  'conflict',
  'quota_exceeded',
  'rate_limit',
  'server_error',
] as const;

export const ErrorAnswer = z
  .strictObject({
    error: z.strictObject({
      code: z.enum(ERROR_CODES).describe('For programs.'),
      message: z.string().describe('For people: what is wrong, with the value, and what to do.'),
      param: z.string().nullable().describe('The parameter at fault, as the request spells it.'),
      details: z.record(z.string(), z.unknown()).describe('What else a program may want to know.'),
    }),
  })
  .meta({
    id: 'Error',
    description: 'Every refusal of the v1 dialect.',
    examples: [
      {
        error: {
          code: 'not_found',
          message: 'there is no IP ip_xxxxx in this account',
          param: 'ip',
          details: {},
        },
      },
    ],
  });

export const ErrorAnswerV3 = z
  .strictObject({
    errors: z.array(
      z.strictObject({
        field: z.string().nullable().describe('The field at fault.'),
        message: z.string().describe('What is wrong with it.'),
        help: z.null().optional().describe('Where SendGrid prints it; it says nothing.'),
      }),
    ),
    error: z.string().optional().describe('The same message once more, where SendGrid documents it so.'),
  })
  .meta({
    id: 'ErrorV3',
    description: 'Every refusal of the v3 dialect.',
    examples: [{ errors: [{ field: 'ip', message: 'resource not found' }] }],
  });
