import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from 'jose';
import { type AuthTimings, isSafeUrl, type OidcSettings } from '#config';
import { type Caller, type Scope, SCOPES, withoutEmail } from '#http';

/** Accepted signature algorithms, all asymmetric: with HS256 a public key would be the secret. The token's own `alg` is checked against this list. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
/** Accepted token types; `at+jwt` is defined by RFC 9068. Other kinds (logout tokens, DPoP proofs) give no access. */
const TYPES: readonly string[] = ['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt'];
/** Tolerance (s) for the difference between the issuer's clock and ours. */
const CLOCK_TOLERANCE_S = 10;
/** OpenID Connect Core 1.0, section 2, allows at most 255 ASCII characters. Characters that the database cannot store are refused. */
const SUBJECT = /^[^\p{Cc}\p{Cs}]{1,255}$/u;

/** Claims that only ID tokens have: they tell a client who signed in, and anyone who gets one could pass for that person here. */
const ID_TOKEN_CLAIMS = ['nonce', 'at_hash', 'c_hash', 's_hash'];

/** What a valid token says. */
export interface VerifiedToken extends Pick<Caller, 'actor' | 'scopes'> {
  /** When the token is no longer valid, in ms since 1970. */
  readonly expiresAt: number;
}

/** A token that is not valid. The message never quotes it. */
export class TokenError extends Error {}

/** Verifies JWTs of one OpenID Connect issuer. */
export class Tokens {
  private readonly getKey: JWTVerifyGetKey;

  constructor(
    private readonly settings: OidcSettings,
    timings: AuthTimings,
  ) {
    this.getKey = issuerKeys(settings, timings);
  }

  /**
   * Verifies a token and returns its caller and scopes. Signature, algorithm, type, issuer, audience, `exp`, `iat` and `sub` must be
   * present and valid; `nbf`, which many issuers leave out, must be valid if it is present. ID tokens, tokens that are bound to a key of
   * their sender, and tokens older than OIDC_MAX_TOKEN_AGE are refused.
   * @throws TokenError for an invalid token, IssuerUnavailableError when the token cannot be checked.
   */
  async verify(token: string): Promise<VerifiedToken> {
    const { issuer, audience, scopesClaim, maxTokenAgeS } = this.settings;
    try {
      const { payload, protectedHeader } = await jwtVerify(token, this.getKey, {
        algorithms: ALGORITHMS,
        issuer,
        audience,
        clockTolerance: CLOCK_TOLERANCE_S,
        requiredClaims: ['exp', 'iat', 'sub'],
      });
      // jose reads a header whose type is no text.
      const { typ }: { typ?: unknown } = protectedHeader;
      const type = typeof typ === 'string' ? typ.toLowerCase() : undefined;
      if (type === undefined || !TYPES.includes(type)) throw new TokenError('The token has a type that gives no access');
      refuseOtherKinds(payload, type);
      // The actor of changes is kept, replicated and published.
      const actor = withoutEmail(`oidc:${subjectOf(payload)}`);
      const validUntilS = Math.min(payload.exp!, issuedAt(payload, maxTokenAgeS) + maxTokenAgeS);
      return { actor, scopes: scopesOf(payload[scopesClaim]), expiresAt: validUntilS * 1_000 };
    } catch (error) {
      throw error instanceof errors.JOSEError ? new TokenError(describe(error)) : error;
    }
  }
}

/**
 * Refuses ID tokens, and tokens that are only valid together with a proof (DPoP, a client's certificate), which is not checked here. A
 * token whose type is that of access tokens is not an ID token. `typ` as a claim is Keycloak's.
 */
function refuseOtherKinds(payload: JWTPayload, type: string): void {
  if (payload['cnf'] !== undefined) {
    throw new TokenError('The token is bound to a key of its sender (cnf), which this service does not check: send a bearer token');
  }
  const says = payload['typ'];
  const isIdToken = ID_TOKEN_CLAIMS.some((claim) => payload[claim] !== undefined) || (typeof says === 'string' && /^id$/i.test(says));
  if (isIdToken && !type.endsWith('at+jwt')) {
    throw new TokenError('The token is an ID token, which tells a client who signed in and gives no access: send the access token');
  }
}

function issuedAt({ iat }: JWTPayload, maxAgeS: number): number {
  const now = Date.now() / 1_000;
  if (typeof iat !== 'number' || iat > now + CLOCK_TOLERANCE_S) throw new TokenError('The token was issued in the future');
  if (iat + maxAgeS < now - CLOCK_TOLERANCE_S) {
    throw new TokenError(`The token was issued more than ${maxAgeS} s ago (OIDC_MAX_TOKEN_AGE): request a new one`);
  }
  return iat;
}

function subjectOf({ sub }: JWTPayload): string {
  if (typeof sub !== 'string' || !SUBJECT.test(sub)) throw new TokenError('The token has no usable subject');
  return sub;
}

/** Unknown scopes are ignored: they belong to other services. */
function scopesOf(claim: unknown): ReadonlySet<Scope> {
  const names: readonly unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  return new Set(SCOPES.filter((scope) => names.includes(scope)));
}

function describe(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) return `The token's claim ${claimName(error.claim)} is missing or wrong`;
  if (error instanceof errors.JWSSignatureVerificationFailed) return "The token's signature is wrong";
  return 'The token is not valid for this service';
}

/** Only the names of claims that are checked here are quoted: a token must not decide what the answer says. */
function claimName(claim: string): string {
  return ['iss', 'aud', 'exp', 'nbf', 'iat', 'sub'].includes(claim) ? claim : '(another)';
}

/** The issuer's public keys cannot be fetched now. */
export class IssuerUnavailableError extends Error {
  constructor(reason: string) {
    super(`the keys of the OpenID Connect issuer cannot be fetched: ${reason}`);
    this.name = 'IssuerUnavailableError';
  }
}

/**
 * Returns the issuer's keys, from OIDC_JWKS_URI or from where its discovery document points. They are fetched when first needed, kept for
 * 10 minutes, and fetched again, every 30 s at most, for a key that is not among them (jose's own rules). Only these keys count: the
 * keys that a token itself names (`jku`, `jwk`, `x5u`, `x5c`) are ignored. A failed discovery is not retried before
 * {@link AuthTimings.oidcRetryMs}, so that a flood of tokens does not become a flood of requests to the issuer.
 * @throws IssuerUnavailableError while they cannot be fetched.
 */
function issuerKeys({ issuer, jwksUri }: OidcSettings, { oidcTimeoutMs, oidcRetryMs }: AuthTimings): JWTVerifyGetKey {
  let keys: Promise<JWTVerifyGetKey> | undefined;
  let failure = { at: -Infinity, reason: '' };

  const fetchedKeys = (): Promise<JWTVerifyGetKey> => {
    if (keys) return keys;
    if (performance.now() - failure.at < oidcRetryMs) throw new IssuerUnavailableError(failure.reason);
    keys = Promise.resolve(jwksUri ?? discover(issuer, oidcTimeoutMs)).then((uri) =>
      createRemoteJWKSet(new URL(uri), { timeoutDuration: oidcTimeoutMs, cacheMaxAge: 600_000, cooldownDuration: 30_000 }),
    );
    keys.catch((error: unknown) => {
      keys = undefined;
      failure = { at: performance.now(), reason: (error as Error).message };
    });
    return keys;
  };

  return async (header, token) => {
    try {
      return await (
        await fetchedKeys()
      )(header, token);
    } catch (error) {
      // A key that is unknown or of another kind is the token's fault. Every other error is the issuer's.
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error;
      if (error instanceof errors.JOSENotSupported || error instanceof IssuerUnavailableError) throw error;
      throw new IssuerUnavailableError((error as Error).message);
    }
  };
}

/** Returns the issuer's `jwks_uri` (OpenID Connect Discovery 1.0, section 4). */
async function discover(issuer: string, timeoutMs: number): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const document = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
  if (document.issuer !== issuer) throw new Error(`${url} describes another issuer`);
  if (typeof document.jwks_uri !== 'string' || !isSafeUrl(document.jwks_uri)) throw new Error(`${url} has no safe jwks_uri`);
  return document.jwks_uri;
}
