import { createHmac, type webcrypto } from 'node:crypto';
import { request as rawRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SignJWT, exportJWK, exportSPKI, generateKeyPair } from 'jose';
import { AUDIENCE, bearer, Issuer } from '../../harness/credentials.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

let issuer: Issuer;
let world: World;
const now = (): number => Math.floor(Date.now() / 1_000);

beforeAll(async () => {
  issuer = await Issuer.start();
  const shared = await World.shared();
  await shared.db1.query(`INSERT INTO subscriptions (email) VALUES ('known@example.com')`);
  world = await shared.startBeside({ servers: [['api']], env: { ...issuer.environment, AUTH_FAILURES_PER_ADDRESS: '0' } });
});
afterAll(async () => {
  await world.stop();
  await issuer.stop();
});

const read = (headers: Record<string, string>): Promise<Response> => fetch(`${world.url}/subscriptions/known@example.com`, { headers });

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  iss: issuer.url,
  aud: AUDIENCE,
  sub: 'billing',
  iat: now(),
  exp: now() + 300,
  scope: 'read',
  ...more,
});

describe('a good token', () => {
  test.each(['Bearer', 'bearer', 'BEARER'])('is accepted after "%s"', async (scheme) => {
    expect((await read({ authorization: `${scheme} ${await issuer.token()}` })).status).toBe(200);
  });

  test('allows what its scopes allow', async () => {
    const only = async (scope: unknown): Promise<number> => (await read(bearer(await issuer.token({ scope })))).status;
    expect([
      await only('read'),
      await only(['openid', 'read']),
      await only('reader'),
      await only('write'),
      await only(7),
      await only(undefined),
    ]).toEqual([200, 200, 403, 403, 403, 403]);
  });

  test('may have several audiences, and the type at+jwt', async () => {
    expect((await read(bearer(await issuer.token({ aud: ['other', AUDIENCE] }, { typ: 'at+jwt' })))).status).toBe(200);
  });

  test('may be off by a few seconds, as clocks differ', async () => {
    expect((await read(bearer(await issuer.token({ exp: now() - 3, nbf: now() + 3, iat: now() + 3 })))).status).toBe(200);
  });

  test('may be as old as OIDC_MAX_TOKEN_AGE, a day by default', async () => {
    expect((await read(bearer(await issuer.token({ iat: now() - 86_000 })))).status).toBe(200);
  });

  test('may have a nonce if its type is that of access tokens', async () => {
    expect((await read(bearer(await issuer.token({ nonce: 'n', typ: 'Bearer' }, { typ: 'at+jwt' })))).status).toBe(200);
  });

  test('is recorded as the actor of its changes', async () => {
    const response = await fetch(`${world.url}/subscriptions`, {
      method: 'POST',
      headers: { ...bearer(await issuer.token({ sub: 'service|42' })), 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'by-token@example.com', status: 'active' }),
    });
    expect(response.status).toBe(201);
    const { rows } = await world.db1.query(`SELECT actor FROM subscription_sync.changes WHERE email = 'by-token@example.com'`);
    expect(rows).toEqual([{ actor: 'oidc:service|42' }]);
  });

  test.each([
    ['grace@example.com', 'oidc:tTPUVH6qWg-pVZZaHKOTzN'],
    ['Grace@Example.com', 'oidc:D9v9T9aSjrY166JKd31F_G'],
    ['google|grace@example.com', 'oidc:'],
    ['5f0c6a0e@clients', 'oidc:5f0c6a0e@clients'],
  ])('whose subject is %s is recorded under a name without an email', async (sub, actor) => {
    const email = `by-${Buffer.from(sub).toString('hex')}@example.com`;
    const headers = { ...bearer(await issuer.token({ sub })), 'content-type': 'application/json' };
    const body = JSON.stringify({ email, status: 'active' });
    expect((await fetch(`${world.url}/subscriptions`, { method: 'POST', headers, body })).status).toBe(201);
    const { rows } = await world.db1.query<{ actor: string }>('SELECT actor FROM subscription_sync.changes WHERE email = $1', [email]);
    expect(rows[0]!.actor).toMatch(actor === 'oidc:' ? /^oidc:[\w-]{22}$/ : actor);
    expect(rows[0]!.actor).not.toContain('grace');
  });
});

/** Each function creates a token that must be refused. */
const FORGED: Record<string, () => Promise<string> | string> = {
  'alg none, no signature': () => `${encode({ alg: 'none', typ: 'JWT' })}.${encode(claims())}.`,
  'alg None, in other letters': () => `${encode({ alg: 'nOnE', typ: 'JWT' })}.${encode(claims())}.`,
  'alg none, the signature of a good one': async () =>
    `${encode({ alg: 'none', typ: 'JWT' })}.${encode(claims())}.${(await issuer.token()).split('.')[2]!}`,
  'HS256 with the public key (PEM) as the secret': async () => hmac(await exportSPKI(issuer.keys.publicKey)),
  'HS256 with the public key (JWK) as the secret': async () => hmac(JSON.stringify(await exportJWK(issuer.keys.publicKey))),
  'HS256 with an empty secret': () => hmac(''),
  'another key under the same kid': async () => issuer.token({}, {}, (await generateKeyPair('RS256')).privateKey),
  'a kid that the issuer does not have': () => issuer.token({}, { kid: 'two' }),
  'a kid that is a path': () => issuer.token({}, { kid: '../../../../dev/null' }),
  'a kid that is SQL': () => issuer.token({}, { kid: "one' OR '1'='1" }),
  'another algorithm of the same key': async () => issuer.token({}, { alg: 'PS256' }, await asPs256()),
  'another curve': async () => issuer.token({}, { alg: 'ES256' }, (await generateKeyPair('ES256')).privateKey),
  'another issuer': () => issuer.token({ iss: 'https://login.example.com' }),
  'the issuer with an extra slash': () => issuer.token({ iss: `${issuer.url}/` }),
  'no issuer': () => issuer.token({ iss: undefined as unknown as string }),
  'another audience': () => issuer.token({ aud: 'another-service' }),
  'no audience': () => issuer.token({ aud: undefined as unknown as string }),
  expired: () => issuer.token({ exp: now() - 60 }),
  'no exp': () => issuer.token({ exp: undefined as unknown as number }),
  'exp as text': () => signAnyhow({ exp: String(now() + 300) }),
  'not valid yet': () => issuer.token({ nbf: now() + 60 }),
  'nbf as text': () => signAnyhow({ nbf: String(now() - 60) }),
  'no iat': () => issuer.token({ iat: undefined as unknown as number }),
  'issued in the future': () => issuer.token({ iat: now() + 60 }),
  'older than a day': () => issuer.token({ iat: now() - 86_500, exp: now() + 300 }),
  'an ID token, by its nonce': () => issuer.token({ nonce: 'n-0S6_WzA2Mj' }),
  'an ID token, by the hash of an access token': () => issuer.token({ at_hash: '77QmUPtjPfzWtF2AnpK9RQ' }),
  'an ID token, by the hash of a code': () => issuer.token({ c_hash: 'LDktKdoQak3Pk0cnXxCltA' }),
  'an ID token, by its own word': () => issuer.token({ typ: 'ID' }),
  'bound to a key of its sender (DPoP)': () => issuer.token({ cnf: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' } }),
  'bound to a certificate, with the type of access tokens': () => issuer.token({ cnf: { 'x5t#S256': 'bwcK0esc3A' } }, { typ: 'at+jwt' }),
  'no subject': () => issuer.token({ sub: undefined as unknown as string }),
  'an empty subject': () => issuer.token({ sub: '' }),
  'a subject with a NUL': () => issuer.token({ sub: 'a\u0000b' }),
  'a subject with a lone surrogate': () => issuer.token({ sub: 'a\ud800' }),
  'a subject of 256 characters': () => issuer.token({ sub: 'a'.repeat(256) }),
  'a payload changed after the signature': async () => {
    const [header, , signature] = (await issuer.token()).split('.');
    return `${header!}.${encode(claims({ scope: 'read admin' }))}.${signature!}`;
  },
  'a header changed after the signature': async () => {
    const [, payload, signature] = (await issuer.token()).split('.');
    return `${encode({ alg: 'RS256', kid: 'one', typ: 'at+jwt' })}.${payload!}.${signature!}`;
  },
  'its own key in jwk': async () => withOwnKey(async (publicKey) => ({ jwk: await exportJWK(publicKey) })),
  'its own key in jwk, without a kid': async () => withOwnKey(async (publicKey) => ({ kid: undefined, jwk: await exportJWK(publicKey) })),
  'its own jku': async () => withOwnKey(async () => ({ jku: `${issuer.url}/elsewhere` })),
  'its own x5u': async () => withOwnKey(async () => ({ x5u: `${issuer.url}/elsewhere` })),
  'its own x5c': async () => withOwnKey(async () => ({ x5c: ['MIIB'] })),
  'a crit with an unknown extension': () => signAnyhow({}, { crit: ['http://example.com/x'], 'http://example.com/x': true }),
  'an empty crit': () => signAnyhow({}, { crit: [] }),
  'the type of a logout token': () => issuer.token({}, { typ: 'logout+jwt' }),
  'no type': () => issuer.token({}, { typ: undefined }),
  'the type of a DPoP proof': () => issuer.token({}, { typ: 'dpop+jwt' }),
  'a type that is a list': () => signAnyhow({}, { typ: ['JWT'] }),
  'an alg that is a list': () => signAnyhow({}, { alg: ['RS256'] }),
  'an alg with a space': () => signAnyhow({}, { alg: 'RS256 ' }),
  'a kid that is a list': () => signAnyhow({}, { kid: ['one'] }),
  'a kid of a property of every object': () => signAnyhow({}, { kid: '__proto__' }),
  'a kid of 8 KB': () => signAnyhow({}, { kid: 'one'.repeat(2_700) }),
  'a payload that is not encoded': () => signAnyhow({}, { crit: ['b64'], b64: false }),
  'a header that is a list': async () => `${encode(['RS256'])}.${encode(claims())}.${(await issuer.token()).split('.')[2]!}`,
  'a list of audiences without this one': () => issuer.token({ aud: ['one', `${AUDIENCE}2`] }),
  'an audience that is an object': () => signAnyhow({ aud: { [AUDIENCE]: AUDIENCE } }),
  'an audience in capitals': () => issuer.token({ aud: AUDIENCE.toUpperCase() }),
  'issuers in a list': () => signAnyhow({ iss: [issuer.url] }),
  'a subject that is a number': () => signAnyhow({ sub: 7 }),
  'a subject that is a list': () => signAnyhow({ sub: ['billing'] }),
  'a subject that is an object': () => signAnyhow({ sub: { toString: 'billing' } }),
  'exp that is null': () => signAnyhow({ exp: null }),
  'exp that is a list': () => signAnyhow({ exp: [now() + 300] }),
  'not valid for years': () => issuer.token({ nbf: now() + 1_000_000_000 }),
  'iat as text': () => signAnyhow({ iat: String(now()) }),
  'two parts': async () => (await issuer.token()).split('.').slice(0, 2).join('.'),
  'cut off': async () => (await issuer.token()).slice(0, -8),
  'an empty signature': async () => `${(await issuer.token()).split('.').slice(0, 2).join('.')}.`,
  'four parts': async () => `${await issuer.token()}.AAAA`,
  'five parts, as if encrypted': async () => `${await issuer.token()}.AAAA.AAAA`,
  'a payload that is a list': () => signPayload('["read"]'),
  'a payload that is not JSON': () => signPayload('read'),
  'nothing but dots': () => '..',
};

test.each(Object.keys(FORGED))('refused: %s', async (what) => {
  const token = await FORGED[what]!();
  const response = await read(bearer(token));
  const { detail } = (await response.json()) as { detail: string };
  expect({ status: response.status, challenge: response.headers.get('www-authenticate') }).toEqual({
    status: 401,
    challenge: `Bearer realm="subscription-sync", error="invalid_token", error_description="${detail}"`,
  });
  expect(detail).not.toMatch(/eyJ|example\.com/);
  // The unmodified token is valid, so the token is refused only because of its modification.
  expect((await read(bearer(await issuer.token()))).status).toBe(200);
});

test.each([
  [{ nonce: 'n' }, 'The token is an ID token, which tells a client who signed in and gives no access: send the access token'],
  [{ cnf: { jkt: 'x' } }, 'The token is bound to a key of its sender (cnf), which this service does not check: send a bearer token'],
  [{ iat: 1_700_000_000 }, 'The token was issued more than 86400 s ago (OIDC_MAX_TOKEN_AGE): request a new one'],
])('the refusal of %j says what to do', async (more, detail) => {
  const response = await read(bearer(await issuer.token(more)));
  expect([response.status, await response.json()]).toEqual([401, expect.objectContaining({ detail })]);
});

test('refused: two Authorization headers, the first of them good', async () => {
  const token = await issuer.token();
  const { hostname, port } = new URL(world.url);
  const status = await new Promise((resolve, reject) => {
    const headers = ['Host', 'x', 'Authorization', `Bearer ${token}`, 'AUTHORIZATION', 'Bearer nonsense'];
    rawRequest({ hostname, port, path: '/subscriptions', headers }, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end();
  });
  expect(status).toBe(400);
});

test('refused: a token anywhere but in the Authorization header', async () => {
  const token = await issuer.token();
  expect((await fetch(`${world.url}/subscriptions?access_token=${token}`)).status).toBe(401);
  expect((await read({ cookie: `access_token=${token}` })).status).toBe(401);
  expect((await read({ 'x-api-key': token })).status).toBe(401);
});

test('a flood of unknown kids does not cause a flood of requests to the issuer', async () => {
  const before = issuer.keyRequests;
  const token = await issuer.token({}, { kid: 'flood' });
  await Promise.all(Array.from({ length: 50 }, () => read(bearer(token))));
  expect(issuer.keyRequests - before).toBeLessThanOrEqual(1);
});

test('while the issuer does not answer, tokens are refused; they are accepted again once it answers', async () => {
  const other = await Issuer.start();
  other.up = false;
  const beside = world.beside({ servers: [['api']], env: other.environment });
  try {
    await beside.start();
    await beside.ready();
    const list = async (token: string): Promise<Response> =>
      fetch(`${beside.url}/subscriptions/known@example.com`, { headers: bearer(token) });
    const response = await list(await other.token());
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    other.up = true;
    await eventually(async () => (await list(await other.token())).status === 200);
    expect((await list(await other.token({ exp: now() - 60 }))).status).toBe(401);
  } finally {
    await beside.stop();
    await other.stop();
  }
});

function hmac(secret: string): string {
  const text = `${encode({ alg: 'HS256', kid: 'one', typ: 'JWT' })}.${encode(claims())}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** Returns the issuer's own key for PS256: a valid signature, by an algorithm that its JWK does not allow. */
async function asPs256(): Promise<webcrypto.CryptoKey> {
  const jwk = await exportJWK(issuer.keys.privateKey);
  return crypto.subtle.importKey('jwk', { ...jwk, alg: 'PS256' } as webcrypto.JsonWebKey, { name: 'RSA-PSS', hash: 'SHA-256' }, false, [
    'sign',
  ]);
}

/** Signs claims that no issuer would sign, with the issuer's key. */
async function signPayload(payload: string, header: Record<string, unknown> = {}): Promise<string> {
  const text = `${encode({ alg: 'RS256', kid: 'one', typ: 'JWT', ...header })}.${Buffer.from(payload).toString('base64url')}`;
  const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', issuer.keys.privateKey, Buffer.from(text));
  return `${text}.${Buffer.from(signature).toString('base64url')}`;
}

function signAnyhow(more: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<string> {
  return signPayload(JSON.stringify(claims(more)), header);
}

async function withOwnKey(header: (publicKey: webcrypto.CryptoKey) => Promise<Record<string, unknown>>): Promise<string> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  return new SignJWT(claims()).setProtectedHeader({ alg: 'RS256', kid: 'one', typ: 'JWT', ...(await header(publicKey)) }).sign(privateKey);
}
