import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import { GracefulShutdown } from '#observability';
import { type Database, DB1, withMaintenanceTimeout } from '#postgres';

const EVERY_MS = 600_000;
const RETRY_MS = 60_000;

/** Of the api role, in the background: forgets idempotency keys after 24 hours, and makes the lists' indexes where they are missing. */
@Injectable()
export class Maintenance implements OnApplicationBootstrap {
  private readonly logger = new Logger('upkeep');
  private readonly stopping = new AbortController();

  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onApplicationBootstrap(): void {
    const running = this.run().catch(() => undefined);
    this.shutdown.register({
      name: "the lists' indexes and old idempotency keys",
      stop: () => {
        this.stopping.abort();
        return running;
      },
    });
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    await Promise.race([this.db1.ready, aborted(signal)]);
    while (!signal.aborted) {
      let pause = EVERY_MS;
      try {
        const made = await makeListIndexes(this.db1.dataSource, signal);
        if (made.length > 0) this.logger.log(`Made ${made.join(', ')} on subscriptions`);
        await forgetIdempotencyKeys(this.db1.dataSource, signal);
      } catch (error) {
        if (!signal.aborted) this.logger.warn(`Not done: ${(error as Error).message}. Trying again in ${RETRY_MS / 1_000} s.`);
        pause = RETRY_MS;
      }
      await delay(pause, undefined, { signal }).catch(() => undefined);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}

/** Rows that one statement of {@link forgetIdempotencyKeys} deletes: short, so that nobody waits for it. */
const CHUNK = 5_000;

/** Deletes the keys that are older than 24 hours. Any number of processes may do so at once. @returns how many. */
export async function forgetIdempotencyKeys(db1: DataSource, signal: AbortSignal): Promise<number> {
  let forgotten = 0;
  for (let deleted = CHUNK; deleted === CHUNK && !signal.aborted; forgotten += deleted) {
    const [, count] = await db1.query<[unknown, number]>(
      `DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT ${CHUNK} FOR UPDATE SKIP LOCKED))`,
    );
    deleted = count;
  }
  return forgotten;
}

/**
 * What the lists of the API go by. `version` and `updated_at` change with every change of a row, so that no update is HOT any more:
 * docs/api/lists.md has what that costs. Emails are compared by their bytes, whatever the column's collation.
 */
const LIST_INDEXES = [
  { name: 'subscriptions_by_status', on: '(status, email COLLATE "C")' },
  { name: 'subscriptions_by_version', on: '(version, email COLLATE "C")' },
  { name: 'subscriptions_by_updated_at', on: '(updated_at, email COLLATE "C")' },
] as const;
/** The primary key of a table of ours does; one that was adopted may sort by a language. */
const EMAIL_INDEX = { name: 'subscriptions_by_email', on: '(email COLLATE "C")' } as const;

/** Of those who make indexes: one process at a time. Not the schema's lock, which a process that starts must not wait for. */
const INDEX_LOCK = 7_302_519_004;

const BY_BYTES = `SELECT a.attcollation = 'pg_catalog."C"'::regcollation AS yes FROM pg_attribute a
  WHERE a.attrelid = 'subscriptions'::regclass AND a.attname = 'email'`;

/**
 * Makes those that are missing while others write, and anew what an interrupted making left behind. May take long, and ends early when
 * `signal` aborts. @returns what was made.
 */
export async function makeListIndexes(db1: DataSource, signal: AbortSignal): Promise<string[]> {
  if ((await missing(db1.manager)).length === 0) return [];
  return withMaintenanceTimeout(db1, async (manager) => {
    const [session] = await manager.query<[{ pid: number; locked: boolean }]>(
      'SELECT pg_backend_pid() AS pid, pg_try_advisory_lock($1) AS locked',
      [INDEX_LOCK],
    );
    if (!session.locked) return [];
    const cancel = (): void => void db1.query('SELECT pg_cancel_backend($1)', [session.pid]).catch(() => undefined);
    signal.addEventListener('abort', cancel);
    const made: string[] = [];
    try {
      for (const { name, on } of await missing(manager)) {
        if (signal.aborted) break;
        await manager.query(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`);
        await manager.query(`CREATE INDEX CONCURRENTLY ${name} ON subscriptions ${on}`);
        made.push(name);
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      await manager.query('SELECT pg_advisory_unlock($1)', [INDEX_LOCK]);
    }
    return made;
  });
}

async function missing(manager: EntityManager): Promise<{ name: string; on: string }[]> {
  const valid = await manager.query<{ name: string }[]>(
    `SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = 'subscriptions'::regclass AND i.indisvalid`,
  );
  const there = new Set(valid.map(({ name }) => name));
  return (await wanted(manager)).filter(({ name }) => !there.has(name));
}

async function wanted(manager: EntityManager): Promise<readonly { name: string; on: string }[]> {
  const [byBytes] = await manager.query<[{ yes: boolean }]>(BY_BYTES);
  return byBytes.yes ? LIST_INDEXES : [EMAIL_INDEX, ...LIST_INDEXES];
}
