import type { DataSource } from 'typeorm';

/** Advisory lock of everybody who changes our schema in a database: any fixed number of our own. */
const SCHEMA_LOCK = 7_302_519_001;

/** Runs `work` while no other process of ours changes this database's schema. */
export async function withSchemaLock(dataSource: DataSource, work: () => Promise<void>): Promise<void> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.query('SELECT pg_advisory_lock($1)', [SCHEMA_LOCK]);
    await work();
  } finally {
    await runner.query('SELECT pg_advisory_unlock($1)', [SCHEMA_LOCK]).catch(() => undefined);
    await runner.release();
  }
}

/** Runs the pending migrations, all in one transaction. Any number of processes may call it at once. */
export async function migrate(dataSource: DataSource): Promise<void> {
  await withSchemaLock(dataSource, async () => {
    await dataSource.runMigrations();
  });
}
