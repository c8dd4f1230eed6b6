import { describe, expect, test } from '@jest/globals';
import { addressOf, loggedCaller, withoutEmail } from './caller.js';

const SECRET = 'A'.repeat(43);
const request = (actor: string | undefined, more: object = {}): object => ({
  caller: actor === undefined ? null : { actor, scopes: new Set() },
  headers: {},
  clientAddress: '192.0.2.7',
  ...more,
});

describe('the caller in the log', () => {
  test.each([
    ['key:billing-job:5f0c6a0e6f1d4b0e', 'key:5f0c6a0e6f1d4b0e'],
    ['key:a:b:5f0c6a0e6f1d4b0e', 'key:5f0c6a0e6f1d4b0e'],
    ['oidc:ada@example.com', 'oidc:tfyF5VdV-eDQMKEKtEKbay'],
    ['api', 'api'],
  ])('of %s is %s', (actor, name) => {
    expect(loggedCaller(request(actor))).toEqual({ caller: name, address: '192.0.2.7' });
  });

  test('is the same for each request of a subject, and another for each subject', () => {
    const [first, again, other] = ['ada', 'ada', 'bob'].map((sub) => loggedCaller(request(`oidc:${sub}`)).caller);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  test('is unknown without a credential, and a refused key is named by its id alone', () => {
    expect(loggedCaller(request(undefined))).toEqual({ caller: '-', address: '192.0.2.7' });
    const claim = (authorization: string): unknown => loggedCaller(request(undefined, { headers: { authorization } }));
    expect(claim(`Bearer ssk_5f0c6a0e6f1d4b0e_${SECRET}`)).toEqual({ caller: '-', claimed_key: '5f0c6a0e6f1d4b0e', address: '192.0.2.7' });
    for (const text of [
      `Bearer ${SECRET}`,
      `Basic ssk_5f0c6a0e6f1d4b0e_x`,
      'Bearer ssk_ada@example.com_x',
      `ssk_5f0c6a0e6f1d4b0e_${SECRET}`,
    ]) {
      expect(claim(text)).toEqual({ caller: '-', address: '192.0.2.7' });
    }
  });
});

test('the address of a request whose connection was closed is not known', () => {
  expect(addressOf(request('api', { clientAddress: '' }))).toBeNull();
});

test('an actor that contains an email gets a pseudonym, and others stay', () => {
  expect(withoutEmail('oidc:ada@example.com')).toBe('oidc:tfyF5VdV-eDQMKEKtEKbay');
  expect(withoutEmail('oidc:Ada@Example.com')).toBe('oidc:GqG_B7UNJKMEJSrO8RsFN5');
  expect(withoutEmail('cli:ada@corp.example')).toMatch(/^cli:[\w-]{22}$/);
  for (const actor of ['key:billing-job:5f0c6a0e6f1d4b0e', 'oidc:auth0|5f', 'oidc:5f@clients', 'cli:root', 'api'])
    expect(withoutEmail(actor)).toBe(actor);
});
