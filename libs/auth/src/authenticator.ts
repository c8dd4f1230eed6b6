import { timingSafeEqual } from 'node:crypto';
import { HttpException } from '@nestjs/common';
import type { Caller } from '#http';
import { type ApiKeys, KEY_PREFIX, type ApiKeyCache, parseKey, type SentKey, type StoredKey, whyInvalid } from './api-keys.js';
import type { CredentialWatch } from './credential-watch.js';
import { IssuerUnavailableError, TokenError, type Tokens } from './tokens.js';

/** RFC 6750's b64token. The scheme is case-insensitive (RFC 9110, section 11.1). */
const BEARER = /^bearer +([\w.~+/-]+=*)$/i;

/** Identifies the caller of a request by its `Authorization` header alone, never by the URL, which proxies log. */
export class Authenticator {
  /** The caller of each cached key: one object for all of its requests. */
  private readonly callers = new WeakMap<StoredKey, Caller>();

  constructor(
    private readonly keys: ApiKeys | undefined,
    private readonly cache: ApiKeyCache | undefined,
    private readonly tokens: Tokens | undefined,
    private readonly watch: CredentialWatch,
  ) {}

  /**
   * Identifies the caller, without a promise for a cached key, as nearly all keys are.
   * @param rawHeaders names and values in turn, as Node provides them: `headers` shows only the first of two headers with the same name.
   * @param mayLookUp whether a key that is not cached may be looked up in DB1.
   * @throws AccessDenied, or DatabaseUnavailableError when a key cannot be looked up.
   */
  identify(rawHeaders: readonly string[], mayLookUp: boolean): Caller | Promise<Caller> {
    const credential = credentialOf(rawHeaders);
    return credential.startsWith(KEY_PREFIX) ? this.byKey(credential, mayLookUp) : this.byToken(credential);
  }

  private byKey(credential: string, mayLookUp: boolean): Caller | Promise<Caller> {
    if (!this.keys || !this.cache) throw badCredential('This process does not accept API keys: it has no connection to Database 1');
    const sent = parseKey(credential);
    const key = sent && this.cache.get(sent.id, mayLookUp);
    return key instanceof Promise ? key.then((read) => this.callerOf(sent, read)) : this.callerOf(sent, key);
  }

  private callerOf(sent: SentKey | undefined, key: StoredKey | undefined): Caller {
    // One answer for every wrong key, so that it does not reveal which ids exist.
    if (!sent || !key || !timingSafeEqual(sent.hash, key.hash)) throw badCredential('The API key is not valid');
    const problem = whyInvalid(key);
    if (problem !== undefined) throw badCredential(problem);
    this.keys!.recordUse(key);
    let caller = this.callers.get(key);
    if (!caller) {
      const { id, name } = key;
      const actor = `key:${name}:${id}`;
      this.callers.set(key, (caller = { actor, scopes: new Set(key.scopes), watch: (onEnd) => this.watch.watchKey(id, onEnd) }));
    }
    return caller;
  }

  private async byToken(credential: string): Promise<Caller> {
    if (!this.tokens) throw badCredential('The credential is not an API key, and tokens are not accepted: OIDC_ISSUER is not set');
    try {
      const { actor, scopes, expiresAt } = await this.tokens.verify(credential);
      return { actor, scopes, watch: (onEnd) => this.watch.watchToken(expiresAt, onEnd) };
    } catch (error) {
      if (error instanceof TokenError) throw badCredential(error.message);
      if (error instanceof IssuerUnavailableError)
        throw temporarilyUnavailable('The token cannot be checked now: its issuer does not answer');
      throw error;
    }
  }
}

/** Whether a request has an `Authorization` header. */
export function hasCredential(rawHeaders: readonly string[]): boolean {
  return rawHeaders.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'authorization');
}

function credentialOf(rawHeaders: readonly string[]): string {
  let header: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 13 || name.toLowerCase() !== 'authorization') continue;
    if (header !== undefined) throw malformed('The request has more than one Authorization header');
    header = rawHeaders[i + 1]!;
  }
  if (header === undefined) throw noCredential();
  const credential = BEARER.exec(header)?.[1];
  if (credential === undefined) throw badCredential("The Authorization header must be 'Bearer' followed by one credential");
  return credential;
}

/**
 * A request that is refused. `headers` are those of the answer, such as WWW-Authenticate (RFC 6750, section 3). The detail never quotes the credential.
 */
export class AccessDenied extends HttpException {
  constructor(
    status: 400 | 401 | 403 | 429 | 503,
    detail: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail, status);
  }
}

function noCredential(): AccessDenied {
  const detail = 'The request has no credential: send "Authorization: Bearer" with an API key or a token';
  return new AccessDenied(401, detail, { 'www-authenticate': 'Bearer realm="subscription-sync"' });
}

function badCredential(detail: string): AccessDenied {
  return new AccessDenied(401, detail, challenge('invalid_token', detail));
}

function malformed(detail: string): AccessDenied {
  return new AccessDenied(400, detail, challenge('invalid_request', detail));
}

export function lacksScope(scope: string): AccessDenied {
  const detail = `The credential lacks the scope "${scope}"`;
  return new AccessDenied(403, detail, {
    'www-authenticate': `Bearer realm="subscription-sync", error="insufficient_scope", scope="${scope}"`,
  });
}

export function overLimit(counted: string, policy: string, seconds: number): AccessDenied {
  return new AccessDenied(429, `Too many ${counted}. Try again in ${seconds} s`, {
    'retry-after': String(seconds),
    'ratelimit-policy': policy,
    ratelimit: `${policy.split(';', 1)[0]!};r=0;t=${seconds}`,
  });
}

/** The credential may be valid, but cannot be checked now. */
function temporarilyUnavailable(detail: string): AccessDenied {
  return new AccessDenied(503, detail, { 'retry-after': '1' });
}

function challenge(error: string, detail: string): Record<string, string> {
  return { 'www-authenticate': `Bearer realm="subscription-sync", error="${error}", error_description="${detail}"` };
}
