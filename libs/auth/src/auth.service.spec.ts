import { describe, expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS, readSettings, type Settings } from '#config';
import { AuthService, RateLimits } from './auth.service.js';
import { AccessDenied, type Authenticator } from './authenticator.js';

const FAILURES = 5;
const TIMINGS = { ...DEFAULT_TIMINGS, auth: { ...DEFAULT_TIMINGS.auth, rateLimitWindowMs: 4_000_000_000_000 } };
const settingsWith = (failures: number): Settings =>
  readSettings({
    ROLES: 'replica',
    KAFKA_SERVER: 'nowhere:9092',
    DB2_HOST: 'nowhere',
    DB2_USER: 'nobody',
    DB2_PASSWORD: '',
    DB2_DATABASE: 'nowhere',
    ACCESS: 'required',
    OIDC_ISSUER: 'https://login.example.com',
    OIDC_AUDIENCE: 'us',
    RATE_LIMIT_PER_ADDRESS: '20',
    AUTH_FAILURES_PER_ADDRESS: String(failures),
  });

/** Knows the key `known`. The key `new` has to be looked up, and every other one is wrong. */
const authenticator = {
  identify([, credential]: readonly string[], mayLookUp: boolean) {
    if (credential === 'known' || (credential === 'new' && mayLookUp)) return { actor: `key:${credential}`, scopes: new Set(['read']) };
    throw new AccessDenied(401, 'The API key is not valid');
  },
} as unknown as Authenticator;

let auth: AuthService;

function start(failures: number): void {
  const settings = settingsWith(failures);
  auth = new AuthService(settings, TIMINGS, authenticator, new RateLimits(settings, TIMINGS));
}

/** Returns the status with which a request is refused, or 200. */
async function statusOf(credential: string, address: string): Promise<number> {
  try {
    await auth.authorizeAddress(address);
    await auth.authorize({ address, rawHeaders: ['authorization', credential] }, 'read', () => undefined);
    return 200;
  } catch (error) {
    return (error as AccessDenied).getStatus();
  }
}

async function attack(addresses: number): Promise<void> {
  for (let i = 0; i < addresses; i += 1) await statusOf('wrong', `2001:db8:${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}::1`);
}

describe('strange addresses with wrong credentials', () => {
  test('lock out neither a known caller nor a new one, nor one that makes a mistake first', async () => {
    start(FAILURES);
    expect(await statusOf('known', '198.51.100.1')).toBe(200);
    await attack(15_000);
    expect(await statusOf('known', '198.51.100.1')).toBe(200);
    expect(await statusOf('new', '198.51.100.2')).toBe(200);
    expect(await statusOf('wrong', '198.51.100.3')).toBe(401);
    expect(await statusOf('new', '198.51.100.3')).toBe(200);
  });

  test('lock out no address of a known caller, however many they are', async () => {
    start(1);
    const known = Array.from({ length: 30 }, (_, i) => `198.51.100.${i}`);
    for (const address of known) expect(await statusOf('known', address)).toBe(200);
    await attack(80_000);
    for (const address of known) expect(await statusOf('new', address)).toBe(200);
  });

  test('do not get around their own limits', async () => {
    start(FAILURES);
    await attack(15_000);
    const statuses: number[] = [];
    for (let i = 0; i < 30; i += 1) statuses.push(await statusOf('wrong', '203.0.113.1'));
    expect(statuses.slice(0, FAILURES - 1)).toEqual(Array(FAILURES - 1).fill(401));
    expect(statuses.slice(FAILURES)).not.toContain(401);
    expect(await statusOf('new', '203.0.113.1')).toBe(429);
  });
});
