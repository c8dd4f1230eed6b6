import { hash, randomBytes } from 'node:crypto';
import { type Scope, SCOPES } from '#http';

/** `ssk_<id>_<secret>`: the id finds the key and may be shown; the secret is 256 random bits, shown once. */
const FORMAT = /^ssk_([0-9a-f]{16})_([\w-]{43})$/;
export const KEY_PREFIX = 'ssk_';

interface NewKey {
  readonly id: string;
  /** What the caller sends. */
  readonly key: string;
  /** What is stored. */
  readonly hash: Buffer;
}

function newKey(): NewKey {
  const id = randomBytes(8).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, key: `${KEY_PREFIX}${id}_${secret}`, hash: hashOf(secret) };
}

/** A key as it was sent. */
export type SentKey = Pick<NewKey, 'id' | 'hash'>;

/** Undefined for what is no key of ours. */
export function parseKey(text: string): SentKey | undefined {
  const [, id, secret] = FORMAT.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, hash: hashOf(secret) };
}

/** A slow hash would only slow down each request: nobody tries 2^256 secrets. */
function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** What asks DB1: a pool's `query`, or one connection's. */
export interface Sql {
  query<Row>(sql: string, parameters?: unknown[]): Promise<Row[]>;
}

/** A key as it is shown: everything but its secret. */
export interface ApiKey {
  readonly id: string;
  readonly prefix: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly created_at: Date;
  readonly created_by: string;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  /** To the hour. */
  readonly last_used_at: Date | null;
  /** The id of the key that took its place. */
  readonly replaced_by: string | null;
}

export interface CreatedKey extends ApiKey {
  /** Shown now and never again. */
  readonly key: string;
}

/** What a request's key is compared with. */
export interface StoredKey {
  readonly id: string;
  readonly name: string;
  readonly hash: Buffer;
  readonly scopes: readonly Scope[];
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
}

const VIEW = `id, '${KEY_PREFIX}' || id AS prefix, name, scopes, created_at, created_by, expires_at, revoked_at, last_used_at, replaced_by`;
const USABLE = 'revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())';
/** `last_used_at` is this exact, ms: a write for each request would cost more than the request. */
const USE_NOTED_EVERY_MS = 3_600_000;

/** The table `api_keys` of DB1. */
export class ApiKeys {
  constructor(private readonly sql: Sql) {}

  /** `expiresInS`: seconds from now, by DB1's clock; for ever when it is undefined. */
  async create(name: string, scopes: readonly Scope[], expiresInS: number | undefined, createdBy: string): Promise<CreatedKey> {
    const { id, key, hash } = newKey();
    const [row] = await this.sql.query<ApiKey>(
      `INSERT INTO api_keys (id, name, hash, scopes, expires_at, created_by)
       VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 s', $6) RETURNING ${VIEW}`,
      [id, name, hash, inOrder(scopes), expiresInS ?? null, createdBy],
    );
    return { ...row!, key };
  }

  /** All of them, the newest first. */
  list(): Promise<ApiKey[]> {
    return this.sql.query(`SELECT ${VIEW} FROM api_keys ORDER BY created_at DESC, id LIMIT 1000`);
  }

  /**
   * Another key with the name, the scopes and the lifetime of this one, which ends after `overlapS` seconds at the latest.
   * Undefined when there is no such key, or it is of no use any more.
   */
  async rotate(id: string, overlapS: number, createdBy: string): Promise<CreatedKey | undefined> {
    const next = newKey();
    const [row] = await this.sql.query<ApiKey>(
      `WITH old AS (SELECT * FROM api_keys WHERE id = $1 AND replaced_by IS NULL AND ${USABLE} FOR UPDATE),
       next AS (
         INSERT INTO api_keys (id, name, hash, scopes, expires_at, created_by)
         SELECT $2, name, $3, scopes, clock_timestamp() + (expires_at - created_at), $4 FROM old RETURNING *
       ),
       ended AS (
         UPDATE api_keys SET replaced_by = $2, expires_at = least(api_keys.expires_at, clock_timestamp() + $5 * interval '1 s')
         FROM old WHERE api_keys.id = old.id
       )
       SELECT ${VIEW} FROM next`,
      [id, next.id, next.hash, createdBy, overlapS],
    );
    return row && { ...row, key: next.key };
  }

  /** Of no use any more within seconds. @returns whether there is such a key. */
  async revoke(id: string): Promise<boolean> {
    const rows = await this.sql.query<{ id: string }>(
      `WITH revoked AS (UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1 RETURNING id)
       SELECT id FROM revoked`,
      [id],
    );
    return rows.length > 0;
  }

  async find(id: string): Promise<StoredKey | undefined> {
    const rows = await this.sql.query<StoredKey>(
      'SELECT id, name, hash, scopes, expires_at, revoked_at, last_used_at FROM api_keys WHERE id = $1',
      [id],
    );
    return rows[0];
  }

  /** Notes that the key is used, once an hour. Nobody waits for it. */
  noteUse({ id, last_used_at }: StoredKey): void {
    if (last_used_at !== null && Date.now() - last_used_at.getTime() < USE_NOTED_EVERY_MS) return;
    this.sql
      .query(
        `UPDATE api_keys SET last_used_at = clock_timestamp()
         WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - $2 * interval '1 ms')`,
        [id, USE_NOTED_EVERY_MS],
      )
      .catch(() => undefined);
  }
}

function inOrder(scopes: readonly Scope[]): Scope[] {
  return SCOPES.filter((scope) => scopes.includes(scope));
}

/** So long a key is believed to be as it was read: a revocation is in force everywhere after that. */
const CACHE_TTL_MS = 5_000;
/** From this age on it is read again beside the requests that use it, so that none of them waits. */
const REFRESH_AFTER_MS = 2_500;
/** A key of 200 bytes or so; the one that was read first goes first. */
const MAX_ENTRIES = 1_000;

interface CacheEntry {
  readonly key: StoredKey;
  readonly readAt: number;
  reading: boolean;
}

/** The API keys in use, at most 5 s old. Ids that don't exist are not kept: inventing them must not push others out. */
export class ApiKeyCache {
  private readonly known = new Map<string, CacheEntry>();
  private readonly reading = new Map<string, Promise<StoredKey | undefined>>();

  constructor(
    private readonly keys: ApiKeys,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Without asking DB1 where it may not be asked. @throws DatabaseUnavailableError when it must be asked, and does not answer. */
  get(id: string, mayAsk: boolean): StoredKey | undefined | Promise<StoredKey | undefined> {
    const known = this.known.get(id);
    const age = known ? this.now() - known.readAt : Infinity;
    if (known && age < CACHE_TTL_MS) {
      if (age > REFRESH_AFTER_MS && !known.reading) {
        known.reading = true;
        this.read(id).catch(() => (known.reading = false));
      }
      return known.key;
    }
    return mayAsk || known ? this.read(id) : undefined;
  }

  /** After a change that was made here. */
  forget(id: string): void {
    this.known.delete(id);
  }

  private read(id: string): Promise<StoredKey | undefined> {
    const running = this.reading.get(id);
    if (running) return running;
    const reading = this.ask(id).finally(() => this.reading.delete(id));
    this.reading.set(id, reading);
    return reading;
  }

  private async ask(id: string): Promise<StoredKey | undefined> {
    // Its age counts from before the question: the answer may be as old as that.
    const readAt = this.now();
    const key = await this.keys.find(id);
    this.known.delete(id);
    if (!key) return undefined;
    if (this.known.size >= MAX_ENTRIES) this.known.delete(this.known.keys().next().value!);
    this.known.set(id, { key, readAt, reading: false });
    return key;
  }
}
