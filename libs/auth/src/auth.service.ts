import { Inject, Injectable, Logger, type OnApplicationBootstrap, Optional } from '@nestjs/common';
import { SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { blockOf, type Caller, type Scope, SCOPES } from '#http';
import { type Database, DatabaseUnavailableError, DB1 } from '#postgres';
import { ApiKeys } from './api-keys.js';
import { AccessDenied, Authenticator, hasCredential, lacksScope, overLimit } from './authenticator.js';
import { RateLimiter, type RateLimitDecision, reserveFromDb1 } from './rate-limit.js';

/** The caller of every request while ACCESS is open. */
const OPEN_CALLER: Caller = { actor: 'api', scopes: new Set(SCOPES) };

/** Maximum number of keys that a log line names. */
const MAX_LISTED_KEYS = 10;

/** The parts of a request that the access check reads. */
export interface AuthorizationInput {
  /** The address that sent the request. */
  readonly address: string;
  readonly rawHeaders: readonly string[];
}

/** The rate limits of this process. A limit of 0 is off. */
@Injectable()
export class RateLimits {
  readonly perCaller: RateLimiter;
  readonly perAddress: RateLimiter;
  readonly failures: RateLimiter;

  constructor(@Inject(SETTINGS) { access }: Settings, @Inject(TIMINGS) { auth }: Timings, @Optional() @Inject(DB1) db1?: Database) {
    const { perKey, perAddress, failuresPerAddress } = access.limits;
    const reserve = db1 && reserveFromDb1(db1);
    const limiter = (name: string, limit: number): RateLimiter => new RateLimiter(name, limit, reserve, auth.rateLimitWindowMs);
    this.perCaller = limiter('key', perKey);
    this.perAddress = limiter('address', perAddress);
    this.failures = limiter('failures', failuresPerAddress);
  }

  /** Keeps a caller and its address from being counted together with others, however many addresses send requests. */
  remember(actor: string, address: string): void {
    this.perCaller.remember(actor);
    this.perAddress.remember(address);
    this.failures.remember(address);
  }
}

/** Decides about each request: who sent it, whether it is within the limits, and whether its caller has the scope that it needs. */
@Injectable()
export class AuthService implements OnApplicationBootstrap {
  private readonly logger = new Logger('access');
  private readonly open: boolean;
  /** Time (ms) after which the credential of a request whose body is still being sent is checked again. */
  readonly recheckAfterMs: number;

  constructor(
    @Inject(SETTINGS) settings: Settings,
    @Inject(TIMINGS) timings: Timings,
    private readonly authenticator: Authenticator,
    private readonly limits: RateLimits,
    @Optional() @Inject(DB1) private readonly db1?: Database,
    @Optional() private readonly keys?: ApiKeys,
  ) {
    this.open = settings.access.mode === 'open';
    this.recheckAfterMs = timings.auth.keyCacheTtlMs;
    if (!this.open && !db1 && !settings.access.oidc) {
      this.logger.warn({
        code: 'no-caller-let-in',
        message:
          'No caller is let in: API keys are in Database 1, which this process does not use, and OIDC_ISSUER is not set. Set OIDC_ISSUER, or DB1_HOST.',
      });
    }
  }

  /** The limit that the answers' RateLimit headers describe. */
  get perCaller(): RateLimiter {
    return this.limits.perCaller;
  }

  onApplicationBootstrap(): void {
    if (this.open) {
      this.logger.warn({
        code: 'access-open',
        message: 'Access is open: every program that reaches this address may do everything. Set ACCESS=required to ask for a key.',
      });
    } else {
      // Fails when the process stops first, or when Database 1 went away again.
      this.db1?.ready.then(() => this.reportUnkeptKeys()).catch(() => undefined);
    }
  }

  /** Reports keys that were made in open mode: the programs that use them are refused from now on. */
  private async reportUnkeptKeys(): Promise<void> {
    const unkept = (await this.keys?.listUnkept()) ?? [];
    if (unkept.length === 0) return;
    const shown = unkept.slice(0, MAX_LISTED_KEYS).map(({ id, name }) => `${name} (${id})`);
    const more = unkept.length > shown.length ? `, and ${unkept.length - shown.length} more` : '';
    this.logger.warn({
      code: 'unkept-api-keys',
      message:
        `API keys that were made while access was open are refused: ${shown.join(', ')}${more}. ` +
        'Keep those that you know with `npx subscription-sync keys keep <id>`, and revoke the others.',
    });
  }

  /** Counts the request for its address, before the caller is identified. Returns a promise only when more quota must be fetched. @throws AccessDenied */
  authorizeAddress(address: string): undefined | Promise<unknown> {
    const counted = this.open ? undefined : this.count(this.limits.perAddress, blockOf(address), 'requests from this address');
    return counted instanceof Promise ? counted : undefined;
  }

  /**
   * Identifies the caller, counts the request and checks the scope. A caller whose credential cannot be checked is not let in.
   * @param identified is called with the caller before the limit and the scope are checked.
   * @returns the requests left in the caller's limit; undefined when there is no limit.
   * @throws AccessDenied, DatabaseUnavailableError
   */
  async authorize(
    { address, rawHeaders }: AuthorizationInput,
    scope: Scope,
    identified: (caller: Caller) => void,
  ): Promise<number | undefined> {
    if (this.open) {
      identified(OPEN_CALLER);
      return undefined;
    }
    const block = blockOf(address);
    const found = this.identify(block, rawHeaders);
    const caller = found instanceof Promise ? await found : found;
    identified(caller);
    this.limits.remember(caller.actor, block);
    const counted = this.count(this.limits.perCaller, caller.actor, 'requests with this credential');
    const decision = counted instanceof Promise ? await counted : counted;
    if (!caller.scopes.has(scope)) throw lacksScope(scope);
    return decision?.remaining;
  }

  /**
   * Whether a public route may tell the sender what is for operators: access is open, or the credential is valid, whatever its scopes. An
   * invalid one counts as a failed authentication. One that cannot be checked at the moment is not valid.
   */
  async isTrusted({ address, rawHeaders }: AuthorizationInput): Promise<boolean> {
    if (this.open) return true;
    if (!hasCredential(rawHeaders)) return false;
    try {
      await this.identify(blockOf(address), rawHeaders);
      return true;
    } catch (error) {
      if (error instanceof AccessDenied || error instanceof DatabaseUnavailableError) return false;
      throw error;
    }
  }

  /** Checks a credential again that was valid when its request began. @throws AccessDenied, DatabaseUnavailableError */
  async recheck(rawHeaders: readonly string[]): Promise<void> {
    if (!this.open) await this.authenticator.identify(rawHeaders, true);
  }

  /**
   * An address with too many failed attempts may still use keys that are cached here, and valid tokens: many callers may share one
   * address, and one of them must not lock out the others. Unknown keys of such an address are not looked up any more.
   */
  private identify(address: string, rawHeaders: readonly string[]): Caller | Promise<Caller> {
    const { failures } = this.limits;
    const limited = failures.limit > 0 && failures.isExhausted(address);
    try {
      const caller = this.authenticator.identify(rawHeaders, !limited);
      return caller instanceof Promise ? caller.catch((error: unknown) => this.fail(error, address, limited)) : caller;
    } catch (error) {
      return this.fail(error, address, limited);
    }
  }

  /** Counts a failed attempt. @throws the error itself, or 429 when the address has used up its attempts. */
  private fail(error: unknown, address: string, limited: boolean): never {
    const { failures } = this.limits;
    if (!(error instanceof AccessDenied) || error.getStatus() === 503) throw error;
    if (limited) throw overLimit('failed authentications from this address', failures.policy, failures.secondsLeft);
    if (failures.limit > 0) void failures.take(address);
    throw error;
  }

  private count(limiter: RateLimiter, id: string, counted: string): RateLimitDecision | undefined | Promise<RateLimitDecision> {
    if (limiter.limit === 0) return undefined;
    const taken = limiter.take(id);
    return taken instanceof Promise
      ? taken.then((decision) => requireAllowed(decision, limiter, counted))
      : requireAllowed(taken, limiter, counted);
  }
}

function requireAllowed(decision: RateLimitDecision, limiter: RateLimiter, counted: string): RateLimitDecision {
  if (!decision.allowed) throw overLimit(counted, limiter.policy, limiter.secondsLeft);
  return decision;
}
