import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import { ServicePipeline } from '../pipeline/service-pipeline.js';
import type { Servers } from '../servers.js';

const WRITES_PER_SECOND = 200;

/** A table of another program, with its own names and types, in both databases; only Database 1 has rows. */
async function createTables(db1: Pool, db2: Pool, rows: number): Promise<void> {
  const table = `CREATE TABLE members (id serial PRIMARY KEY, mail varchar(100) NOT NULL UNIQUE, state varchar(20) NOT NULL, name text, seats int)`;
  await Promise.all([db1.query(table), db2.query(table)]);
  await db1.query(
    `INSERT INTO members (mail, state, name, seats) SELECT md5(i::text) || '@example.com', 'active', 'Member ' || i, i % 10 FROM generate_series(1, ${rows}) i`,
  );
  await db1.query('VACUUM ANALYZE members');
}

/** Starts the service on tables that exist, while another program writes, and waits until the first backfill has ended. */
export async function existing(parts: Servers, rows: number): Promise<void> {
  const table = (prefix: string): Record<string, string> => ({
    [`${prefix}_TABLE`]: 'members',
    [`${prefix}_KEY_COLUMN`]: 'mail',
    [`${prefix}_STATUS_COLUMN`]: 'state',
  });
  const settings = { ...table('DB1'), ...table('DB2'), STATUSES: 'active,paused', RECONCILE_INTERVAL: '0' };
  const pipeline = await ServicePipeline.create('existing', ['api,sync', 'replica'], 'wal', parts, settings);
  const { db1, db2 } = pipeline;
  await createTables(db1, db2, rows);
  const started = performance.now();
  const writer = write(db1, rows);
  await pipeline.start();
  const outcome = await firstBackfill(db1);
  const seconds = (performance.now() - started) / 1_000;
  const written = await writer.stop();
  const { cpu, memory } = pipeline.usage();
  await untilEqual(db1, db2);
  const { rows: logged } = await db1.query<{ changes: number }>('SELECT count(*)::int AS changes FROM subscription_sync.changes');
  console.log(
    `first backfill of an existing table  ${Math.round(rows / seconds)} rows/s from the start of the processes to the outcome ${outcome}, ${((cpu / rows) * 1e6).toFixed(0)} µs CPU per row`,
  );
  console.log(
    `  meanwhile ${written} updates of another program; the log has ${logged[0]!.changes} changes; peak memory ${memory.join(' + ')} MB`,
  );
  await pipeline.close();
}

async function firstBackfill(db1: Pool): Promise<string> {
  for (;;) {
    const { rows } = await db1.query<{ outcome: string }>(
      `SELECT outcome FROM subscription_sync.reconciliation_runs WHERE reason = 'first_backfill' AND outcome IS NOT NULL`,
    );
    if (rows[0]) return rows[0].outcome;
    await delay(50);
  }
}

function write(db1: Pool, rows: number): { stop(): Promise<number> } {
  let written = 0;
  let stopping = false;
  const writing = (async () => {
    while (!stopping) {
      const member = 1 + Math.floor(Math.random() * rows);
      await db1.query(`UPDATE members SET seats = seats + 1 WHERE id = $1`, [member]);
      written += 1;
      await delay(1_000 / WRITES_PER_SECOND);
    }
  })();
  return {
    async stop() {
      stopping = true;
      await writing;
      return written;
    },
  };
}

async function untilEqual(db1: Pool, db2: Pool): Promise<void> {
  const hash = `SELECT sum(hashtextextended(concat_ws('|', mail, state, name, seats), 0)) AS hash FROM members`;
  for (;;) {
    const [one, two] = await Promise.all([db1, db2].map((pool) => pool.query<{ hash: string }>(hash)));
    if (one!.rows[0]!.hash === two!.rows[0]!.hash) return;
    await delay(500);
  }
}
