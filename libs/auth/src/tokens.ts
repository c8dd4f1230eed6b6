import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from 'jose';
import { isSafeUrl, type OidcSettings } from '#config';
import { type Caller, type Scope, SCOPES } from '#http';

/** Asymmetric ones only: with HS256 a public key would be the secret. What the token says is checked against this list, not believed. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
/** `at+jwt` is RFC 9068's. A token of another kind (a logout token, a DPoP proof) is not taken for one that gives access. */
const TYPES: readonly unknown[] = ['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt'];
/** How far the issuer's clock may be off, s. */
const TOLERANCE_S = 10;
/** OpenID Connect Core 1.0, section 2, has at most 255 ASCII characters; what can't be stored is refused. */
const SUBJECT = /^[^\p{Cc}\p{Cs}]{1,255}$/u;

/** A token that is no good. The message never quotes it. */
export class TokenError extends Error {}

/** JWTs of one OpenID Connect issuer. */
export class Tokens {
  private readonly getKey: JWTVerifyGetKey;

  constructor(private readonly settings: OidcSettings) {
    this.getKey = issuerKeys(settings);
  }

  /**
   * Whose token it is, and what it allows. Signature, algorithm, type, issuer, audience, `exp`, `iat` and `sub` must be there and right;
   * `nbf`, which many issuers leave out, must be right if it is there.
   * @throws TokenError for a token that is no good, IssuerUnavailableError when that can't be told.
   */
  async verify(token: string): Promise<Caller> {
    const { issuer, audience, scopesClaim } = this.settings;
    try {
      const { payload, protectedHeader } = await jwtVerify(token, this.getKey, {
        algorithms: ALGORITHMS,
        issuer,
        audience,
        clockTolerance: TOLERANCE_S,
        requiredClaims: ['exp', 'iat', 'sub'],
      });
      if (!TYPES.includes(protectedHeader.typ?.toLowerCase())) throw new TokenError('The token is of a type that gives no access');
      return { actor: `oidc:${subjectOf(payload)}`, scopes: scopesOf(payload[scopesClaim]) };
    } catch (error) {
      throw error instanceof errors.JOSEError ? new TokenError(describe(error)) : error;
    }
  }
}

function subjectOf({ sub, iat }: JWTPayload): string {
  if (typeof iat !== 'number' || iat > Date.now() / 1_000 + TOLERANCE_S) throw new TokenError('The token is from the future');
  if (typeof sub !== 'string' || !SUBJECT.test(sub)) throw new TokenError('The token has no usable subject');
  return sub;
}

/** What is no scope of ours is for others. */
function scopesOf(claim: unknown): ReadonlySet<Scope> {
  const words: readonly unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  return new Set(SCOPES.filter((scope) => words.includes(scope)));
}

function describe(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) return `The token's claim ${claimName(error.claim)} is missing or wrong`;
  if (error instanceof errors.JWSSignatureVerificationFailed) return "The token's signature is wrong";
  return 'The token is not one that this service takes';
}

/** Names that are checked here; a token has no say in what is answered. */
function claimName(claim: string): string {
  return ['iss', 'aud', 'exp', 'nbf', 'iat', 'sub'].includes(claim) ? claim : '(another)';
}

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
function issuerKeys({ issuer, jwksUri }: OidcSettings): JWTVerifyGetKey {
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
