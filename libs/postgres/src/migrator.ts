import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource, type EntityManager, MigrationExecutor } from 'typeorm';
import { withMaintenanceTimeout } from './client.js';

/** Advisory lock of everybody who changes our schema in a database: any fixed number of our own. */
const SCHEMA_LOCK = 7_302_519_001;
/** Asked for again and again instead of waited for: a waiting statement could not be told from a dead connection. */
const LOCK_WAIT_MS = { between: 100, longest: 5_000 };

/**
 * Runs `work` while no other process of ours changes this database's schema.
 * @throws Error when another one still does after 5 s. Whoever needs the schema tries again.
 */
export async function withSchemaLock(dataSource: DataSource, work: (manager: EntityManager) => Promise<void>): Promise<void> {
  await withMaintenanceTimeout(dataSource, async (manager) => {
    await takeSchemaLock(manager);
    try {
      await work(manager);
    } finally {
      await manager.query('SELECT pg_advisory_unlock($1)', [SCHEMA_LOCK]).catch(() => undefined);
    }
  });
}

/** Runs the pending migrations, all in one transaction. Any number of processes may call it at once. */
export async function migrate(dataSource: DataSource): Promise<void> {
  await withSchemaLock(dataSource, async (manager) => {
    await new MigrationExecutor(dataSource, manager.queryRunner).executePendingMigrations();
  });
}

async function takeSchemaLock(manager: EntityManager): Promise<void> {
  const deadline = performance.now() + LOCK_WAIT_MS.longest;
  for (;;) {
    const [lock] = await manager.query<[{ taken: boolean }]>('SELECT pg_try_advisory_lock($1) AS taken', [SCHEMA_LOCK]);
    if (lock.taken) return;
    if (performance.now() > deadline) throw new Error('another process is changing its schema');
    await delay(LOCK_WAIT_MS.between);
  }
}
