import { timingSafeEqual } from 'node:crypto';
import type { Caller } from '#http';
import type { ApiKeys, StoredKey } from './api-keys.js';
import { IssuerUnavailableError } from './issuer-keys.js';
import { KEY_PREFIX, parseKey, type SentKey } from './key-format.js';
import type { KnownKeys } from './known-keys.js';
import { badCredential, cannotTell, malformed, noCredential } from './refusal.js';
import { TokenError, type Tokens } from './tokens.js';

/** RFC 6750's b64token. The scheme's letters are any (RFC 9110, section 11.1). */
const BEARER = /^bearer +([\w.~+/-]+=*)$/i;

/** Finds out who sends a request, by the `Authorization` header alone: never by the URL, which is logged on the way. */
export class Authenticator {
  /** Callers by key as it was read: one object for all requests that it serves. */
  private readonly callers = new WeakMap<StoredKey, Caller>();

  constructor(
    private readonly keys: ApiKeys | undefined,
    private readonly known: KnownKeys | undefined,
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
