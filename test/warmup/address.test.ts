import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addressOfSortable,
  canonicalAddress,
  expandAddresses,
  MOST_ADDRESSES_AT_ONCE,
  sortableAddress,
} from '../../src/warmup/address.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';

const refusal = (work: () => unknown): WarmlineError => {
  try {
    work();
  } catch (error) {
    if (error instanceof WarmlineError) return error;
    throw error;
  }
  throw new Error('it was not refused');
};

test.each([
  ['203.0.113.7', '203.0.113.7'],
  ['  203.0.113.7\n', '203.0.113.7'],
  ['2001:DB8:0:0::0005', '2001:db8::5'],
  ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
])('%s is the address %s', (text, canonical) => {
  expect(canonicalAddress(text)).toBe(canonical);
});

test.each([
  '',
  'banana',
  '203.0.113',
  '203.0.113.256',
  '010.0.0.1',
  '0x7f.1',
  'fe80::1%eth0',
  '203.0.113.7/32',
  '1',
])('"%s" is no address, and the parameter is named', (text) => {
  const { code, param, message } = refusal(() => canonicalAddress(text, 'among.3'));
  expect({ code, param }).toEqual({ code: 'invalid', param: 'among.3' });
  expect(message).toContain(`"${text}"`);
  expect(refusal(() => canonicalAddress(text)).param).toBe('ip');
});

test.each([
  ['0.0.0.0', 'unspecified'],
  ['255.255.255.255', 'broadcast'],
  ['224.0.0.1', 'multicast'],
  ['::', 'unspecified'],
  ['ff02::1', 'multicast'],
])('mail cannot be sent from %s: it is %s', (text, kind) => {
  expect(refusal(() => canonicalAddress(text)).message).toContain(`a ${kind} address`);
});

describe('texts that sort by value', () => {
  const v4 = fc
    .integer({ min: 1, max: 223 * 2 ** 24 })
    .map((n) => [24, 16, 8, 0].map((bits) => (n >>> bits) & 255));

  test('IPv4 by number, then IPv6, and each leads back to its address', () => {
    fc.assert(
      fc.property(v4, v4, (a, b) => {
        const [first, second] = [a.join('.'), b.join('.')];
        const byValue = Buffer.compare(Buffer.from(a), Buffer.from(b));
        const [left, right] = [sortableAddress(first), sortableAddress(second)];
        expect(left < right ? -1 : left > right ? 1 : 0).toBe(byValue);
        expect(addressOfSortable(left)).toBe(first);
        expect(left < sortableAddress('::1')).toBe(true);
      }),
    );
  });

  test.each(['2001:db8::5', '::1', '2001:db8:0:1::1'])('%s comes back in its one form', (address) => {
    expect(addressOfSortable(sortableAddress(address))).toBe(address);
  });

  test('all of a family are equally long', () => {
    expect(sortableAddress('1.2.3.4')).toBe('401020304');
    expect(sortableAddress('2001:db8::5')).toBe('620010db8000000000000000000000005');
  });
});

describe('lists of addresses and ranges', () => {
  test('a range is its addresses, in order', () => {
    expect(expandAddresses(['203.0.113.8/30', '2001:db8::fffe/127', ' 10.0.0.1 '])).toEqual([
      ...['203.0.113.8', '203.0.113.9', '203.0.113.10', '203.0.113.11'],
      ...['2001:db8::fffe', '2001:db8::ffff', '10.0.0.1'],
    ]);
    expect(expandAddresses(['10.0.0.255/32', '2001:db8::/128'])).toEqual(['10.0.0.255', '2001:db8::']);
  });

  test('as many as fit, and not one more', () => {
    expect(MOST_ADDRESSES_AT_ONCE).toBe(4096);
    const all = expandAddresses(['10.0.0.0/20']);
    expect([all.length, all[0], all.at(-1)]).toEqual([4096, '10.0.0.0', '10.0.15.255']);
    expect(expandAddresses(['2001:db8::/116'])).toHaveLength(4096);
    for (const texts of [['10.0.0.0/19'], ['2001:db8::/115'], ['10.0.0.0/20', '11.0.0.0'], ['10.0.0.0/0']]) {
      const { param, message } = refusal(() => expandAddresses(texts));
      expect(param).toBe('addresses');
      expect(message).toContain('more than 4096 addresses');
    }
  });

  test.each([
    '10.0.0.0/33',
    '2001:db8::/129',
    '10.0.0.0/',
    '10.0.0.0/a',
    '/24',
    '10.0.0/24',
    '10.0.0.0/24/1',
    '10.0.0.0/0024',
  ])('"%s" is no range', (text) => {
    const { param, message } = refusal(() => expandAddresses([text]));
    expect(param).toBe('addresses');
    expect(message).toContain(`"${text}" is not a range`);
  });

  test('a range begins where it begins, and the sentence says where', () => {
    expect(refusal(() => expandAddresses(['203.0.113.9/30'])).message).toContain(
      'did you mean 203.0.113.8/30?',
    );
    expect(refusal(() => expandAddresses(['2001:db8::3/127'])).message).toContain(
      'did you mean 2001:db8::2/127?',
    );
  });

  test('none is named twice, however it is spelt', () => {
    const { param, message } = refusal(() => expandAddresses(['2001:db8::/127', '2001:0db8::1']));
    expect(param).toBe('addresses');
    expect(message).toContain('2001:db8::1 is named twice');
    expect(refusal(() => expandAddresses(['banana'])).param).toBe('addresses');
  });

  test('ranges of what sends no mail are refused', () => {
    expect(refusal(() => expandAddresses(['224.0.0.0/30'])).message).toContain('multicast');
  });
});
