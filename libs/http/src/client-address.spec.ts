import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { blockOf, ClientAddresses, parseAddress } from './client-address.js';

describe('an address', () => {
  test.each([
    ['198.51.100.7', '198.51.100.7'],
    ['198.51.100.7:4711', '198.51.100.7'],
    ['::ffff:198.51.100.7', '198.51.100.7'],
    ['::FFFF:c633:6407', '198.51.100.7'],
    ['0:0:0:0:0:ffff:198.51.100.7', '198.51.100.7'],
    ['[::ffff:198.51.100.7]:80', '198.51.100.7'],
    ['2001:db8::1', '2001:db8:0:0:0:0:0:1'],
    ['2001:0DB8:0000:0000:0000:0000:0000:0001', '2001:db8:0:0:0:0:0:1'],
    ['2001:db8:0:0::0.0.0.1', '2001:db8:0:0:0:0:0:1'],
    ['[2001:db8::1]', '2001:db8:0:0:0:0:0:1'],
    ['[2001:db8::1]:443', '2001:db8:0:0:0:0:0:1'],
    ['fe80::1%eth0', 'fe80:0:0:0:0:0:0:1'],
    ['::', '0:0:0:0:0:0:0:0'],
  ])('%s is %s', (text, address) => expect(parseAddress(text)).toBe(address));

  test.each([
    '',
    'unknown',
    '_hidden',
    '198.51.100',
    '198.51.100.256',
    '198.51.100.07',
    '[198.51.100.7]',
    '2001:db8',
    '1.2.3.4:',
    '1.2.3.4:x',
    '[::1',
    '::1]',
    'a.example',
  ])('is not %j', (text) => expect(parseAddress(text)).toBeUndefined());

  test('has one text for all spellings', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const address = parseAddress(text)!;
        expect(parseAddress(text.toUpperCase())).toBe(address);
        expect(parseAddress(address)).toBe(address);
        expect(parseAddress(`[${address}]:1`)).toBe(address);
      }),
    );
  });
});

describe('a request is from', () => {
  const direct = new ClientAddresses([]);
  const proxied = new ClientAddresses(['127.0.0.1', '10.0.0.0/8', '2001:db8:ffff::/48']);

  test('the address of its connection, whatever it says, unless a trusted proxy made it', () => {
    expect(direct.addressOf('192.0.2.1', '198.51.100.7')).toBe('192.0.2.1');
    expect(proxied.addressOf('192.0.2.1', '198.51.100.7')).toBe('192.0.2.1');
    expect(proxied.addressOf('::ffff:192.0.2.1', undefined)).toBe('192.0.2.1');
  });

  test('the last address that is not a trusted proxy', () => {
    expect(proxied.addressOf('127.0.0.1', '203.0.113.9, 198.51.100.7')).toBe('198.51.100.7');
    expect(proxied.addressOf('::ffff:127.0.0.1', '198.51.100.7, 10.1.2.3, [2001:db8:ffff::1]:80')).toBe('198.51.100.7');
    expect(proxied.addressOf('127.0.0.1', '10.9.9.9, 10.1.2.3')).toBe('10.9.9.9');
    expect(proxied.addressOf('127.0.0.1', undefined)).toBe('127.0.0.1');
  });

  test('the proxy, where what it passes on is not an address', () => {
    for (const text of ['unknown', '', 'x'.repeat(1_000), '198.51.100.7, nonsense']) {
      expect(proxied.addressOf('127.0.0.1', text)).toBe('127.0.0.1');
    }
    expect(proxied.addressOf('127.0.0.1', 'made-up, 10.1.2.3')).toBe('10.1.2.3');
  });

  test('its own address behind proxies that are given as IPv4-mapped addresses', () => {
    const mapped = new ClientAddresses(['::ffff:10.0.0.0/104']);
    expect(mapped.addressOf('10.1.2.3', '198.51.100.7')).toBe('198.51.100.7');
    expect(mapped.addressOf('11.1.2.3', '198.51.100.7')).toBe('11.1.2.3');
  });
});

test('an IPv6 address is counted as its /64 block, in all spellings and with any port, and an IPv4 address as itself', () => {
  const spellings = ['2001:db8:0:1::5', '2001:DB8:0:1:ffff::', '[2001:0db8:0000:0001::9]:1234', '2001:db8:0:1:0:0:1.2.3.4'];
  expect(new Set(spellings.map((text) => blockOf(parseAddress(text)!)))).toEqual(new Set(['2001:db8:0:1']));
  expect(blockOf(parseAddress('2001:db8:0:2::5')!)).toBe('2001:db8:0:2');
  expect(blockOf('192.0.2.1')).toBe('192.0.2.1');
});
