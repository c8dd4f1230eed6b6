import { expect, test } from '@jest/globals';
import { whyForeign } from './open-access.js';

const ALLOWED = ['https://app.example.com'];
const OWN = { host: '127.0.0.1:3000' };

test.each([
  'localhost',
  'LOCALHOST:3000',
  'api.localhost:3000',
  '127.0.0.1:3000',
  '127.8.9.10',
  '127.1:3000',
  '[::1]',
  '[::1]:3000',
  '[0:0:0:0:0:0:0:1]:3000',
])('the host %s is of this machine', (host) => expect(whyForeign({ host }, [])).toBeUndefined());

test.each([
  'rebind.evil.example',
  'rebind.evil.example:3000',
  'localhost.evil.example',
  'evil-localhost',
  'localhost@evil.example',
  'evil.example@localhost',
  'localhost/evil.example',
  'evil.example#.localhost',
  '127.0.0.1.evil.example',
  '127.0.0.1, evil.example',
  '128.0.0.1',
  '10.0.0.1:3000',
  '0.0.0.0:3000',
  '[::2]:3000',
  '[::ffff:10.0.0.1]',
  '',
  'localhost:port',
])('the host %j is foreign', (host) => expect(whyForeign({ host }, ALLOWED)).toContain('the Host of the request'));

test('programs send neither Origin nor Sec-Fetch-Site, and HTTP/1.0 no Host', () => {
  expect(whyForeign(OWN, [])).toBeUndefined();
  expect(whyForeign({}, [])).toBeUndefined();
});

test.each([
  { origin: 'http://127.0.0.1:3000' },
  { origin: 'http://localhost:8080', 'sec-fetch-site': 'same-site' },
  { origin: 'http://127.0.0.1:3000', 'sec-fetch-site': 'same-origin' },
  { origin: 'https://app.example.com', 'sec-fetch-site': 'cross-site' },
  { 'sec-fetch-site': 'same-origin' },
  { 'sec-fetch-site': 'none' },
])('%j is allowed', (headers) => expect(whyForeign({ ...OWN, ...headers }, ALLOWED)).toBeUndefined());

test.each([
  { origin: 'null' },
  { origin: '' },
  { origin: 'https://evil.example' },
  { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
  { origin: 'https://app.example.com.evil.example' },
  { origin: 'http://app.example.com' },
  { origin: 'file://localhost' },
])('%j is refused', (headers) => expect(whyForeign({ ...OWN, ...headers }, ALLOWED)).toContain('the Origin of the request'));

test.each(['cross-site', 'same-site', 'something-new'])('Sec-Fetch-Site %s without an allowed Origin is refused', (site) => {
  expect(whyForeign({ ...OWN, 'sec-fetch-site': site }, ALLOWED)).toContain('Sec-Fetch-Site');
});

test('a foreign host is refused with an allowed Origin, too', () => {
  expect(whyForeign({ host: 'evil.example', origin: 'https://app.example.com' }, ALLOWED)).toContain('the Host of the request');
});
