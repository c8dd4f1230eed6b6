import type { MigrationInterface, QueryRunner } from 'typeorm';
import { installTriggerFunctions } from './trigger-functions.js';

/**
 * Changes that Kafka does not take, however often they are sent: the stream goes on without them. The log has their text. And
 * triggers that leave a huge `previous` out.
 */
export class KeepUnpublishable1764000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE unpublishable_changes (
        version    bigint      PRIMARY KEY,
        email      text        COLLATE "C" NOT NULL,
        bytes      integer     NOT NULL,
        error      text        NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp()
      )`);
    await installTriggerFunctions((sql) => runner.query(sql));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE unpublishable_changes');
  }
}
