import type { MigrationInterface, QueryRunner } from 'typeorm';
import { CREATE_REPLICA } from './replica.sql.js';
import { createReplicaView } from './replica-view.js';

/** DB2: the guarded table, the view of live rows, positions and dead letters. */
export class CreateReplica1763900000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(CREATE_REPLICA);
    await createReplicaView((sql) => runner.query(sql));
  }

  /** Leaves the rows: they are DB2's content. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP VIEW subscriptions;
      DELETE FROM replicated_subscriptions WHERE tombstoned_at IS NOT NULL;
      ALTER TABLE replicated_subscriptions DROP COLUMN tombstoned_at;
      ALTER TABLE replicated_subscriptions RENAME TO subscriptions;
      DROP TABLE replica_positions, dead_letters;
    `);
  }
}
