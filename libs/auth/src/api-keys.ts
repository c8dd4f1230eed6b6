import { hash, randomBytes } from 'node:crypto';
import { type Act, type Initiator, recordedAs } from '#audit';
import type { AuthTimings } from '#config';
import { type Scope, SCOPES } from '#http';

/** `ssk_<id>_<secret>`: the id identifies the key and may be shown; the secret has 256 random bits and is shown once. */
const FORMAT = /^ssk_([0-9a-f]{16})_([\w-]{43})$/;
export const KEY_PREFIX = 'ssk_';

interface NewKey {
  readonly id: string;
  /** The text that the caller sends. */
  readonly key: string;
  /** The part that is stored. */
  readonly hash: Buffer;
}

function newKey(): NewKey {
  const id = randomBytes(8).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, key: `${KEY_PREFIX}${id}_${secret}`, hash: hashOf(secret) };
}

/** A key as a caller sent it. */
export type SentKey = Pick<NewKey, 'id' | 'hash'>;

/** Returns undefined for a text that is not an API key. */
export function parseKey(text: string): SentKey | undefined {
  const [, id, secret] = FORMAT.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, hash: hashOf(secret) };
}

/** A fast hash is enough: 2^256 secrets cannot be tried, and a slow hash would slow down each request. */
function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** Runs statements in DB1, through a pool or one connection. */
export interface Sql {
  query<Row>(sql: string, parameters?: unknown[]): Promise<Row[]>;
}

/** A key as it is shown: everything except its secret. */
export interface ApiKey {
  readonly id: string;
  readonly prefix: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly created_at: Date;
  readonly created_by: string;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  /** Accurate to the hour. */
  readonly last_used_at: Date | null;
  /** The id of the key that replaced this one. */
  readonly replaced_by: string | null;
  /** Whether the key was made by a request that needed no credential. */
  readonly created_in_open_mode: boolean;
  /** When an operator decided that such a key is valid. */
  readonly kept_at: Date | null;
}

export interface CreatedKey extends ApiKey {
  /** The whole key, which is never shown again. */
  readonly key: string;
}

/** The stored key that a request's key is compared with. */
export interface StoredKey {
  readonly id: string;
  readonly name: string;
  readonly hash: Buffer;
  readonly scopes: readonly Scope[];
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
  readonly created_in_open_mode: boolean;
  readonly kept_at: Date | null;
}

/**
 * Returns why a key is refused, or undefined for a valid one. Any program that reached the service while access was open could make a key,
 * with any scope. Such a key does not outlive open access unless an operator keeps it.
 */
export function whyInvalid({ id, expires_at, revoked_at, created_in_open_mode, kept_at }: StoredKey): string | undefined {
  if (revoked_at) return 'The API key is revoked';
  if (expires_at && expires_at.getTime() <= Date.now()) return 'The API key has expired';
  if (!created_in_open_mode || kept_at) return undefined;
  return `The API key was made while access was open, and is not valid until an operator keeps it: npx subscription-sync keys keep ${id}`;
}

const VIEW = `id, '${KEY_PREFIX}' || id AS prefix, name, scopes, created_at, created_by, expires_at, revoked_at, last_used_at, replaced_by, created_in_open_mode, kept_at`;
const USABLE = 'revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())';
/** Precision (ms) of `last_used_at`. A write for each request would cost more than the request. */
const LAST_USED_PRECISION_MS = 3_600_000;

/** The table `subscription_sync.api_keys` of DB1. Each change of a key is recorded in the audit log by the same statement. */
export class ApiKeys {
  constructor(private readonly sql: Sql) {}

  /**
   * Creates a key. `expiresInS`: lifetime in seconds, by DB1's clock; undefined for a key that never expires. `inOpenMode`: whether
   * the request for it needed no credential.
   */
  async create(
    name: string,
    scopes: readonly Scope[],
    expiresInS: number | undefined,
    by: Initiator,
    inOpenMode = false,
  ): Promise<CreatedKey> {
    const { id, key, hash } = newKey();
    const sorted = sortScopes(scopes);
    const act: Act = { ...by, action: 'key.create', details: { name, scopes: sorted, expires_in: expiresInS ?? null } };
    const [row] = await this.sql.query<ApiKey>(
      `WITH made AS (
         INSERT INTO subscription_sync.api_keys (id, name, hash, scopes, expires_at, created_by, created_in_open_mode)
         VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 s', $6, $8) RETURNING *
       ), ${recordedAs(7, 'made', 'made.id')}
       SELECT ${VIEW} FROM made`,
      [id, name, hash, sorted, expiresInS ?? null, by.actor, act, inOpenMode],
    );
    return { ...row!, key };
  }

  /** Returns at most `limit` keys, newest first. `after`: id of the key before the first one; an unknown id returns no keys. */
  list(limit: number, after?: string): Promise<ApiKey[]> {
    return this.sql.query(
      `SELECT ${VIEW} FROM subscription_sync.api_keys
       WHERE $2::text IS NULL OR (created_at, id) < (SELECT created_at, id FROM subscription_sync.api_keys WHERE id = $2)
       ORDER BY created_at DESC, id DESC LIMIT $1`,
      [limit, after ?? null],
    );
  }

  /**
   * Creates a key with the name, the scopes and the lifetime of this one, which expires after `overlapS` seconds at the latest.
   * Returns undefined when there is no such key, or it is not usable any more. The successor of a key that was made in open mode and not
   * kept is such a key, too, and so is every successor that is made in open mode: any program may have its secret.
   */
  async rotate(id: string, overlapS: number, by: Initiator, inOpenMode = false): Promise<CreatedKey | undefined> {
    const next = newKey();
    const act: Act = { ...by, action: 'key.rotate', details: { next: next.id, overlap: overlapS } };
    const [row] = await this.sql.query<ApiKey>(
      `WITH old AS (SELECT * FROM subscription_sync.api_keys WHERE id = $1 AND replaced_by IS NULL AND ${USABLE} FOR UPDATE),
       next AS (
         INSERT INTO subscription_sync.api_keys (id, name, hash, scopes, expires_at, created_by, created_in_open_mode)
         SELECT $2, name, $3, scopes, clock_timestamp() + (expires_at - created_at), $4, $7 OR (created_in_open_mode AND kept_at IS NULL)
         FROM old RETURNING *
       ),
       ended AS (
         UPDATE subscription_sync.api_keys SET replaced_by = $2, expires_at = least(api_keys.expires_at, clock_timestamp() + $5 * interval '1 s')
         FROM old WHERE api_keys.id = old.id
       ), ${recordedAs(6, 'old', 'old.id')}
       SELECT ${VIEW} FROM next`,
      [id, next.id, next.hash, by.actor, overlapS, act, inOpenMode],
    );
    return row && { ...row, key: next.key };
  }

  /** Revokes a key everywhere within seconds. Returns whether there is such a key. */
  async revoke(id: string, by: Initiator): Promise<boolean> {
    const act: Act = { ...by, action: 'key.revoke' };
    const rows = await this.sql.query<{ id: string }>(
      `WITH revoked AS (UPDATE subscription_sync.api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1 RETURNING id),
         ${recordedAs(2, 'revoked', 'revoked.id')}
       SELECT id FROM revoked`,
      [id, act],
    );
    return rows.length > 0;
  }

  /** Makes a key valid that was made in open mode. Returns whether there is such a key. */
  async keep(id: string, by: Initiator): Promise<boolean> {
    const act: Act = { ...by, action: 'key.keep' };
    const rows = await this.sql.query<{ id: string }>(
      `WITH kept AS (
         UPDATE subscription_sync.api_keys SET kept_at = coalesce(kept_at, clock_timestamp()) WHERE id = $1 AND created_in_open_mode RETURNING id
       ), ${recordedAs(2, 'kept', 'kept.id')}
       SELECT id FROM kept`,
      [id, act],
    );
    return rows.length > 0;
  }

  /** Returns the keys that are refused only because they were made in open mode, by name. */
  listUnkept(): Promise<Pick<ApiKey, 'id' | 'name'>[]> {
    return this.sql.query(
      `SELECT id, name FROM subscription_sync.api_keys WHERE created_in_open_mode AND kept_at IS NULL AND ${USABLE} ORDER BY name, id`,
    );
  }

  async find(id: string): Promise<StoredKey | undefined> {
    return (await this.findAll([id]))[0];
  }

  findAll(ids: readonly string[]): Promise<StoredKey[]> {
    return this.sql.query(
      `SELECT id, name, hash, scopes, expires_at, revoked_at, last_used_at, created_in_open_mode, kept_at
       FROM subscription_sync.api_keys WHERE id = ANY ($1)`,
      [ids],
    );
  }

  /** Records that the key is used, once an hour, in the background. A failure is ignored. */
  recordUse({ id, last_used_at }: StoredKey): void {
    if (last_used_at !== null && Date.now() - last_used_at.getTime() < LAST_USED_PRECISION_MS) return;
    this.sql
      .query(
        `UPDATE subscription_sync.api_keys SET last_used_at = clock_timestamp()
         WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - $2 * interval '1 ms')`,
        [id, LAST_USED_PRECISION_MS],
      )
      .catch(() => undefined);
  }
}

function sortScopes(scopes: readonly Scope[]): Scope[] {
  return SCOPES.filter((scope) => scopes.includes(scope));
}

/** Maximum number of cached keys, of about 200 bytes each. The key that was read first is evicted first. */
const MAX_ENTRIES = 1_000;

interface CacheEntry {
  readonly key: StoredKey;
  readonly readAt: number;
  reading: boolean;
}

/**
 * The API keys in use, at most {@link AuthTimings.keyCacheTtlMs} old: a revocation is in force everywhere after that time. Ids that do
 * not exist are not cached: made-up ids must not evict real ones.
 */
export class ApiKeyCache {
  private readonly known = new Map<string, CacheEntry>();
  private readonly reading = new Map<string, Promise<StoredKey | undefined>>();

  constructor(
    private readonly keys: ApiKeys,
    private readonly timings: AuthTimings,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /**
   * Returns the key, from the cache where possible. An unknown id is looked up in DB1 only if `mayLookUp`.
   * @throws DatabaseUnavailableError when DB1 must be read and does not answer.
   */
  get(id: string, mayLookUp: boolean): StoredKey | undefined | Promise<StoredKey | undefined> {
    const known = this.known.get(id);
    const age = known ? this.now() - known.readAt : Infinity;
    if (known && age < this.timings.keyCacheTtlMs) {
      if (age > this.timings.keyCacheRefreshMs && !known.reading) {
        known.reading = true;
        this.read(id).catch(() => (known.reading = false));
      }
      return known.key;
    }
    return mayLookUp || known ? this.read(id) : undefined;
  }

  /** Drops the key from the cache, after a change by this process. */
  forget(id: string): void {
    this.known.delete(id);
  }

  private read(id: string): Promise<StoredKey | undefined> {
    const running = this.reading.get(id);
    if (running) return running;
    const reading = this.load(id).finally(() => this.reading.delete(id));
    this.reading.set(id, reading);
    return reading;
  }

  private async load(id: string): Promise<StoredKey | undefined> {
    // The age counts from before the statement: its result may be that old.
    const readAt = this.now();
    const key = await this.keys.find(id);
    this.known.delete(id);
    if (!key) return undefined;
    if (this.known.size >= MAX_ENTRIES) this.known.delete(this.known.keys().next().value!);
    this.known.set(id, { key, readAt, reading: false });
    return key;
  }
}
