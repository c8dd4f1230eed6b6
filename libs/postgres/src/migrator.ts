import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource, type EntityManager, MigrationExecutor } from 'typeorm';
import { withMaintenanceTimeout } from './client.js';
import { SCHEMA } from './connection-options.js';

/** Advisory lock of the processes that change the schema of a database. The number is arbitrary and fixed. */
const SCHEMA_LOCK = 7_302_519_001;
/** The lock is polled instead of waited for: a waiting statement cannot be told from a dead connection. */
const LOCK_POLL_INTERVAL_MS = 100;
/** Timeout (ms) for taking the lock. */
const LOCK_TIMEOUT_MS = 5_000;

/**
 * Creates the service's schema and runs the pending migrations, all in one transaction: a database that is refused stays as it was. Any number
 * of processes may call it at the same time.
 */
export async function migrate(dataSource: DataSource): Promise<void> {
  await withSchemaLock(dataSource, async (manager) => {
    await manager.query(CREATE_SCHEMA);
    await new MigrationExecutor(dataSource, manager.queryRunner).executePendingMigrations();
  });
}

/**
 * An administrator may have created the schema for a role that cannot. CREATE SCHEMA IF NOT EXISTS would fail for such a role, because
 * PostgreSQL checks the privilege before it looks for the schema.
 */
const CREATE_SCHEMA = `
DO $$
BEGIN
  IF to_regnamespace('${SCHEMA}') IS NULL THEN
    CREATE SCHEMA ${SCHEMA};
  END IF;
END $$`;

/**
 * Calls `work` in a transaction during which no other process of the service changes this database's schema. The lock ends with the transaction:
 * one of the session would be left behind in a session that a pooler lends to others.
 * @throws Error when another process still does after 5 s. The caller tries again.
 */
export async function withSchemaLock<T>(dataSource: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  return withMaintenanceTimeout(dataSource, (connection) =>
    connection.transaction(async (manager) => {
      await takeSchemaLock(manager);
      return work(manager);
    }),
  );
}

async function takeSchemaLock(manager: EntityManager): Promise<void> {
  const deadline = performance.now() + LOCK_TIMEOUT_MS;
  for (;;) {
    const [lock] = await manager.query<[{ taken: boolean }]>('SELECT pg_try_advisory_xact_lock($1) AS taken', [SCHEMA_LOCK]);
    if (lock.taken) return;
    if (performance.now() > deadline) throw new Error('another process is changing its schema');
    await delay(LOCK_POLL_INTERVAL_MS);
  }
}
