import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import { retry, sleep, TIMINGS, type Timings } from '#config';
import { GracefulShutdown } from '#observability';
import { type Database, DB1, withMaintenanceTimeout } from '#postgres';

/** Deletes idempotency keys after 24 hours and creates missing indexes of the lists, in the background. Part of the api role. */
@Injectable()
export class Maintenance implements OnApplicationBootstrap {
  private readonly logger = new Logger('maintenance');
  private readonly stopping = new AbortController();

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(TIMINGS) private readonly timings: Timings,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onApplicationBootstrap(): void {
    const running = this.run().catch(() => undefined);
    this.shutdown.register({
      name: 'creating list indexes and deleting old idempotency keys',
      stop: () => {
        this.stopping.abort();
        return running;
      },
    });
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const { maintenanceIntervalMs, maintenanceRetry } = this.timings.subscriptions;
    await Promise.race([this.db1.ready, aborted(signal)]);
    while (!signal.aborted) {
      await retry(() => this.maintain(), {
        backoff: maintenanceRetry,
        signal,
        onFailure: ({ message }, pauseMs) => this.logger.warn(`Maintenance failed: ${message}. Retrying in ${pauseMs / 1_000} s.`),
      });
      await sleep(maintenanceIntervalMs, signal);
    }
  }

  private async maintain(): Promise<void> {
    const { signal } = this.stopping;
    const created = await createListIndexes(this.db1.dataSource, signal);
    if (created.length > 0) this.logger.log(`Created ${created.join(', ')} on subscriptions`);
    await deleteOldIdempotencyKeys(this.db1.dataSource, signal);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}

/** Maximum number of rows that one statement of {@link deleteOldIdempotencyKeys} deletes. Short statements keep no other one waiting. */
const CHUNK_ROWS = 5_000;

/** Deletes the keys that are older than 24 hours. Several processes may do so at once. @returns the number of deleted keys. */
export async function deleteOldIdempotencyKeys(db1: DataSource, signal: AbortSignal): Promise<number> {
  let total = 0;
  for (let deleted = CHUNK_ROWS; deleted === CHUNK_ROWS && !signal.aborted; total += deleted) {
    const [, count] = await db1.query<[unknown, number]>(
      `DELETE FROM subscription_sync.idempotency_keys WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM subscription_sync.idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT ${CHUNK_ROWS} FOR UPDATE SKIP LOCKED))`,
    );
    deleted = count;
  }
  return total;
}

/**
 * Index for filters by status, the most frequent ones. Lists have no other order than that of the emails, because an index on a column that
 * each update changes (a version, a time) keeps every update from being HOT; the feed has the order of the changes.
 */
const STATUS_INDEX = { name: 'subscriptions_by_status', on: '(status, email COLLATE "C")' } as const;
/** Needed only for an existing table whose primary key sorts by a language. The primary key of a table that the service created sorts by bytes. */
const EMAIL_INDEX = { name: 'subscriptions_by_email', on: '(email COLLATE "C")' } as const;

/** Advisory lock for creating indexes, held by one process at a time. It is not the schema's lock, for which a starting process would have to wait. */
const INDEX_LOCK = 7_302_519_004;

const SORTS_BY_BYTES = `SELECT a.attcollation = 'pg_catalog."C"'::regcollation AS yes FROM pg_attribute a
  WHERE a.attrelid = 'subscriptions'::regclass AND a.attname = 'email'`;

/**
 * Creates the missing indexes while other programs write, and replaces invalid ones that an interrupted run left behind. May take long; ends
 * early when `signal` aborts. @returns the names of the created indexes.
 */
export async function createListIndexes(db1: DataSource, signal: AbortSignal): Promise<string[]> {
  if ((await missingIndexes(db1.manager)).length === 0) return [];
  return withMaintenanceTimeout(db1, async (manager) => {
    const [session] = await manager.query<[{ pid: number; locked: boolean }]>(
      'SELECT pg_backend_pid() AS pid, pg_try_advisory_lock($1) AS locked',
      [INDEX_LOCK],
    );
    if (!session.locked) return [];
    const cancel = (): void => void db1.query('SELECT pg_cancel_backend($1)', [session.pid]).catch(() => undefined);
    signal.addEventListener('abort', cancel);
    const created: string[] = [];
    try {
      for (const { name, on } of await missingIndexes(manager)) {
        if (signal.aborted) break;
        await manager.query(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`);
        await manager.query(`CREATE INDEX CONCURRENTLY ${name} ON subscriptions ${on}`);
        created.push(name);
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      await manager.query('SELECT pg_advisory_unlock($1)', [INDEX_LOCK]);
    }
    return created;
  });
}

async function missingIndexes(manager: EntityManager): Promise<{ name: string; on: string }[]> {
  const valid = await manager.query<{ name: string }[]>(
    `SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = 'subscriptions'::regclass AND i.indisvalid`,
  );
  const existing = new Set(valid.map(({ name }) => name));
  return (await requiredIndexes(manager)).filter(({ name }) => !existing.has(name));
}

async function requiredIndexes(manager: EntityManager): Promise<readonly { name: string; on: string }[]> {
  const [primaryKey] = await manager.query<[{ yes: boolean }]>(SORTS_BY_BYTES);
  return primaryKey.yes ? [STATUS_INDEX] : [EMAIL_INDEX, STATUS_INDEX];
}
