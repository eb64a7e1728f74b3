import { expect, test } from 'vitest';
import { conflict, invalid, notFound, WarmlineError } from '../../src/warmup/errors.ts';

test('an error says what is wrong as data: code, parameter, details', () => {
  const parts = ({ code, param, details, message, name }: WarmlineError) => ({
    code,
    param,
    details,
    message,
    name,
  });
  const name = 'WarmlineError';
  expect(parts(invalid('zone', 'no such zone'))).toEqual({
    name,
    code: 'invalid',
    param: 'zone',
    details: {},
    message: 'no such zone',
  });
  expect(parts(invalid('plan', 'unknown', { known: ['a'] }))).toMatchObject({ details: { known: ['a'] } });
  expect(parts(notFound('no such IP'))).toMatchObject({ code: 'not_found', param: null, details: {} });
  expect(parts(notFound('no such IP', 'ip'))).toMatchObject({ code: 'not_found', param: 'ip' });
  expect(parts(conflict('it is active', { status: 'active' }))).toMatchObject({
    code: 'conflict',
    param: null,
    details: { status: 'active' },
  });
  expect(parts(conflict('it is active'))).toMatchObject({ details: {} });
});

test('what was given cannot begin a line of its own in a log', () => {
  expect(new WarmlineError('invalid', 'zone "a\r\n\tb" is none\u0000').message).toBe('zone "a b" is none ');
});

test('a sentence has at most 2 000 characters', () => {
  const messageOf = (length: number) => new WarmlineError('invalid', 'x'.repeat(length)).message;
  expect(messageOf(2_000)).toBe('x'.repeat(2_000));
  expect(messageOf(2_001)).toBe(`${'x'.repeat(1_999)}…`);
});
