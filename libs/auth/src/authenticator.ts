import { timingSafeEqual } from 'node:crypto';
import { HttpException } from '@nestjs/common';
import type { Caller } from '#http';
import { type ApiKeys, KEY_PREFIX, type ApiKeyCache, parseKey, type SentKey, type StoredKey } from './api-keys.js';
import { IssuerUnavailableError, TokenError, type Tokens } from './tokens.js';

/** RFC 6750's b64token. The scheme's letters are any (RFC 9110, section 11.1). */
const BEARER = /^bearer +([\w.~+/-]+=*)$/i;

/** Finds out who sends a request, by the `Authorization` header alone: never by the URL, which is logged on the way. */
export class Authenticator {
  /** Callers by key as it was read: one object for all requests that it serves. */
  private readonly callers = new WeakMap<StoredKey, Caller>();

  constructor(
    private readonly keys: ApiKeys | undefined,
    private readonly known: ApiKeyCache | undefined,
    private readonly tokens: Tokens | undefined,
  ) {}

  /**
   * At once for a key that is known here, as nearly all are.
   * @param rawHeaders names and values by turns, as Node has them: of a header that came twice `headers` shows the first only.
   * @param mayAsk whether DB1 may be asked for a key that is not known here.
   * @throws Refusal, or DatabaseUnavailableError when a key can't be looked up.
   */
  identify(rawHeaders: readonly string[], mayAsk: boolean): Caller | Promise<Caller> {
    const credential = credentialOf(rawHeaders);
    return credential.startsWith(KEY_PREFIX) ? this.byKey(credential, mayAsk) : this.byToken(credential);
  }

  private byKey(credential: string, mayAsk: boolean): Caller | Promise<Caller> {
    if (!this.keys || !this.known) throw badCredential('This process takes no API keys: it has no Database 1');
    const sent = parseKey(credential);
    const key = sent && this.known.get(sent.id, mayAsk);
    return key instanceof Promise ? key.then((read) => this.callerOf(sent, read)) : this.callerOf(sent, key);
  }

  private callerOf(sent: SentKey | undefined, key: StoredKey | undefined): Caller {
    // One answer for all that is wrong before the secret is right: it does not tell which ids exist.
    if (!sent || !key || !timingSafeEqual(sent.hash, key.hash)) throw badCredential('The API key is not valid');
    if (key.revoked_at) throw badCredential('The API key is revoked');
    if (key.expires_at && key.expires_at.getTime() <= Date.now()) throw badCredential('The API key has expired');
    this.keys!.noteUse(key);
    let caller = this.callers.get(key);
    if (!caller) this.callers.set(key, (caller = { actor: `key:${key.name}:${key.id}`, scopes: new Set(key.scopes) }));
    return caller;
  }

  private async byToken(credential: string): Promise<Caller> {
    if (!this.tokens) throw badCredential('The credential is no API key, and tokens are not taken: OIDC_ISSUER is not set');
    try {
      return await this.tokens.verify(credential);
    } catch (error) {
      if (error instanceof TokenError) throw badCredential(error.message);
      if (error instanceof IssuerUnavailableError) throw cannotTell('The token can not be checked now: its issuer does not answer');
      throw error;
    }
  }
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
  if (credential === undefined) throw badCredential("The Authorization header is not 'Bearer' and one credential");
  return credential;
}

/**
 * Why a request is not let in. `challenge` is what WWW-Authenticate says (RFC 6750, section 3). The detail never quotes the credential.
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

export function overLimit(of: string, policy: string, seconds: number): AccessDenied {
  return new AccessDenied(429, `Too many ${of}. Try again in ${seconds} s`, {
    'retry-after': String(seconds),
    'ratelimit-policy': policy,
    ratelimit: `${policy.split(';', 1)[0]!};r=0;t=${seconds}`,
  });
}

/** The credential may be good: nobody can say now. */
function cannotTell(detail: string): AccessDenied {
  return new AccessDenied(503, detail, { 'retry-after': '1' });
}

function challenge(error: string, detail: string): Record<string, string> {
  return { 'www-authenticate': `Bearer realm="subscription-sync", error="${error}", error_description="${detail}"` };
}
