import { errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from 'jose';
import type { OidcSettings } from '#config';
import { type Caller, type Scope, SCOPES } from '#http';
import { issuerKeys } from './issuer-keys.js';

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
