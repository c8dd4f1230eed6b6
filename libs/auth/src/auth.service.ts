import { isIPv6 } from 'node:net';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, Optional } from '@nestjs/common';
import { SETTINGS, type Settings } from '#config';
import { type Caller, type Scope, SCOPES } from '#http';
import { type Database, DB1 } from '#postgres';
import { ApiKeys, ApiKeyCache } from './api-keys.js';
import { Authenticator, lacksScope, overLimit, AccessDenied } from './authenticator.js';
import { reserveFromDb1, RateLimiter, type RateLimitDecision } from './rate-limit.js';
import { Tokens } from './tokens.js';

const EVERYBODY: Caller = { actor: 'api', scopes: new Set(SCOPES) };

/** What of a request is looked at. */
export interface Arrival {
  /** The caller's address, after what trusted proxies say. */
  readonly ip: string;
  readonly rawHeaders: readonly string[];
}

export interface Admission {
  readonly caller: Caller;
  /** What is left of the caller's limit; undefined when there is none. */
  readonly remaining?: number;
}

/** Decides about requests: who sends them, how many they may send, and whether they may do what they ask. */
@Injectable()
export class AuthService implements OnApplicationBootstrap {
  readonly keys: ApiKeys | undefined;
  readonly known: ApiKeyCache | undefined;
  readonly perCaller: RateLimiter;
  private readonly logger = new Logger('access');
  private readonly open: boolean;
  private readonly authenticator: Authenticator;
  private readonly perAddress: RateLimiter;
  private readonly failures: RateLimiter;

  constructor(@Inject(SETTINGS) settings: Settings, @Optional() @Inject(DB1) db1?: Database) {
    const { mode, oidc, limits } = settings.access;
    this.open = mode === 'open';
    this.keys = db1 && new ApiKeys(db1);
    this.known = this.keys && new ApiKeyCache(this.keys);
    this.authenticator = new Authenticator(this.keys, this.known, oidc && new Tokens(oidc));
    const lease = db1 && reserveFromDb1(db1);
    this.perCaller = new RateLimiter('key', limits.perKey, lease);
    this.perAddress = new RateLimiter('address', limits.perAddress, lease);
    this.failures = new RateLimiter('failures', limits.failuresPerAddress, lease);
    if (!this.open && !db1 && !oidc) {
      this.logger.warn('Nobody is let in: API keys are in Database 1, which this process does not use, and OIDC_ISSUER is not set.');
    }
  }

  onApplicationBootstrap(): void {
    if (this.open) {
      this.logger.warn('Access is open: whoever reaches this address of this machine may do everything. ACCESS=required asks for a key.');
    }
  }

  /** Before anybody is asked who he is. A promise only when more of the limit has to be fetched. @throws Refusal */
  admitAddress({ ip }: Arrival): undefined | Promise<unknown> {
    const counted = this.open ? undefined : this.count(this.perAddress, blockOf(ip), 'requests from this address');
    return counted instanceof Promise ? counted : undefined;
  }

  /**
   * @throws Refusal, DatabaseUnavailableError: nobody is let in whose credential can't be checked.
   */
  async admit({ ip, rawHeaders }: Arrival, scope: Scope): Promise<Admission> {
    if (this.open) return { caller: EVERYBODY };
    const identified = this.identify(blockOf(ip), rawHeaders);
    const caller = identified instanceof Promise ? await identified : identified;
    const counted = this.count(this.perCaller, caller.actor, 'requests with this credential');
    const verdict = counted instanceof Promise ? await counted : counted;
    if (!caller.scopes.has(scope)) throw lacksScope(scope);
    return verdict ? { caller, remaining: verdict.remaining } : { caller };
  }

  /**
   * An address that failed too often may still use keys that are known here, and good tokens: many callers may be behind one address,
   * and one of them must not lock out the others. Nothing is looked up for it any more.
   */
  private identify(address: string, rawHeaders: readonly string[]): Caller | Promise<Caller> {
    const limited = this.failures.limit > 0 && this.failures.isExhausted(address);
    try {
      const caller = this.authenticator.identify(rawHeaders, !limited);
      return caller instanceof Promise ? caller.catch((error: unknown) => this.refuse(error, address, limited)) : caller;
    } catch (error) {
      return this.refuse(error, address, limited);
    }
  }

  private refuse(error: unknown, address: string, limited: boolean): never {
    if (!(error instanceof AccessDenied) || error.getStatus() === 503) throw error;
    if (limited) throw overLimit('failed authentications from this address', this.failures.policy, this.failures.secondsLeft);
    if (this.failures.limit > 0) void this.failures.take(address);
    throw error;
  }

  private count(limit: RateLimiter, id: string, what: string): RateLimitDecision | undefined | Promise<RateLimitDecision> {
    if (limit.limit === 0) return undefined;
    const taken = limit.take(id);
    return taken instanceof Promise ? taken.then((verdict) => allowed(verdict, limit, what)) : allowed(taken, limit, what);
  }
}

function allowed(verdict: RateLimitDecision, limit: RateLimiter, what: string): RateLimitDecision {
  if (!verdict.allowed) throw overLimit(what, limit.policy, limit.secondsLeft);
  return verdict;
}

/** One person has a whole /64 of IPv6 addresses. */
function blockOf(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const mapped = /^::ffff:([\d.]+)$/i.exec(ip);
  if (mapped) return mapped[1]!;
  const [head, tail] = ip.split('::') as [string, string?];
  const start = head === '' ? [] : head.split(':');
  const end = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array<string>(Math.max(0, 8 - start.length - end.length)).fill('0');
  return [...start, ...zeros, ...end].slice(0, 4).join(':');
}
