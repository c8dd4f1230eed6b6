import { isSafeUrl, type OidcSettings } from '#config';
import { createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose';

const ANSWER_MS = 5_000;
/** A discovery that failed is not tried again sooner: a flood of tokens must not become one of questions to the issuer. */
const TRY_AGAIN_MS = 5_000;

/** The issuer's public keys can't be had now. */
export class IssuerUnavailableError extends Error {
  constructor(why: string) {
    super(`the OpenID Connect issuer's keys can't be fetched: ${why}`);
    this.name = 'IssuerUnavailableError';
  }
}

/**
 * The issuer's keys, from OIDC_JWKS_URI or where its discovery document says. Fetched when first needed, kept for 10 minutes, and
 * fetched anew, every 30 s at most, for a key that is not among them (jose's own rules). Only these keys count: what a token says of
 * keys (`jku`, `jwk`, `x5u`, `x5c`) is not looked at.
 * @throws IssuerUnavailableError while they can't be had.
 */
export function issuerKeys({ issuer, jwksUri }: OidcSettings): JWTVerifyGetKey {
  let keys: Promise<JWTVerifyGetKey> | undefined;
  let failed = { at: -Infinity, why: '' };

  const found = (): Promise<JWTVerifyGetKey> => {
    if (keys) return keys;
    if (performance.now() - failed.at < TRY_AGAIN_MS) throw new IssuerUnavailableError(failed.why);
    keys = Promise.resolve(jwksUri ?? discover(issuer)).then((uri) =>
      createRemoteJWKSet(new URL(uri), { timeoutDuration: ANSWER_MS, cacheMaxAge: 600_000, cooldownDuration: 30_000 }),
    );
    keys.catch((error: unknown) => {
      keys = undefined;
      failed = { at: performance.now(), why: (error as Error).message };
    });
    return keys;
  };

  return async (header, token) => {
    try {
      return await (
        await found()
      )(header, token);
    } catch (error) {
      // No such key, or a key of another kind: the token's fault. All else is the issuer's.
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error;
      if (error instanceof errors.JOSENotSupported || error instanceof IssuerUnavailableError) throw error;
      throw new IssuerUnavailableError((error as Error).message);
    }
  };
}

/** OpenID Connect Discovery 1.0, section 4. */
async function discover(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS), redirect: 'error' });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  const document = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
  if (document.issuer !== issuer) throw new Error(`${url} is of another issuer`);
  if (typeof document.jwks_uri !== 'string' || !isSafeUrl(document.jwks_uri)) throw new Error(`${url} names no jwks_uri that is safe`);
  return document.jwks_uri;
}
