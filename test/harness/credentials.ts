import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import type { Pool } from 'pg';
import type { Initiator } from '#audit';
import { ApiKeys, type Sql } from '#auth';
import type { Scope } from '#http';

/** Returns the key store of a test's Database 1, as the command line uses it. */
export function keysIn(pool: Pool): ApiKeys {
  const sql: Sql = { query: async <Row>(text: string, values?: unknown[]) => (await pool.query(text, values)).rows as Row[] };
  return new ApiKeys(sql);
}

/** Who makes keys for tests. */
export const TESTER: Initiator = { actor: 'test', address: null, request_id: null };

export async function makeKey(pool: Pool, ...scopes: Scope[]): Promise<string> {
  return (await keysIn(pool).create(`test ${scopes.join(' ')}`.slice(0, 64), scopes, undefined, TESTER)).key;
}

export function bearer(credential: string): { authorization: string } {
  return { authorization: `Bearer ${credential}` };
}

export type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>;

export const AUDIENCE = 'subscription-sync';

/** An OpenID Connect issuer on its own port: discovery, keys, and tokens signed with them. */
export class Issuer {
  /** Whether the issuer answers; otherwise every request gets 500. */
  up = true;
  /** Number of requests for its keys. */
  keyRequests = 0;

  private constructor(
    private readonly server: Server,
    readonly url: string,
    readonly keys: KeyPair,
    private readonly published: JWK[],
  ) {}

  static async start(): Promise<Issuer> {
    const keys = await generateKeyPair('RS256', { extractable: true });
    const published = [{ ...(await exportJWK(keys.publicKey)), kid: 'one', use: 'sig', alg: 'RS256' }];
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const issuer = new Issuer(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, keys, published);
    server.on('request', (request, response) => {
      if (request.url === '/keys') issuer.keyRequests += 1;
      response.writeHead(issuer.up ? 200 : 500, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify(request.url === '/keys' ? { keys: issuer.published } : { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }),
      );
    });
    return issuer;
  }

  /** Environment variables of a server that accepts its tokens. */
  get environment(): Record<string, string> {
    return { OIDC_ISSUER: this.url, OIDC_AUDIENCE: AUDIENCE };
  }

  /** Returns a valid token, apart from the given claims and header. A claim that is undefined is left out. */
  token(
    claims: JWTPayload = {},
    header: Record<string, unknown> = {},
    key: Parameters<SignJWT['sign']>[0] = this.keys.privateKey,
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1_000);
    const usual = { iss: this.url, aud: AUDIENCE, sub: 'billing', iat: now, exp: now + 300, scope: 'read write', ...claims };
    const given = Object.fromEntries(Object.entries(usual).filter(([, value]) => value !== undefined));
    return new SignJWT(given).setProtectedHeader({ alg: 'RS256', kid: 'one', typ: 'JWT', ...header }).sign(key);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
