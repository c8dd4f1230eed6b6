import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What tells later that records were lost on the way, or that DB1 is not the one they came from.
 *
 * - `version_time`: when the change of `version`, the highest one, was made: DB1's log has that change, or DB1 has lost it.
 * - `record_time`: Kafka's timestamp of the record at `offset`; infinity where nobody knows.
 * - `breaks`: how often the next records were not those that followed, see apply-statement.ts.
 */
export class WatchPositions1764100000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE replica_positions
        ADD COLUMN version_time timestamptz,
        ADD COLUMN record_time timestamptz NOT NULL DEFAULT 'infinity',
        ADD COLUMN breaks integer NOT NULL DEFAULT 0`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE replica_positions DROP COLUMN version_time, DROP COLUMN record_time, DROP COLUMN breaks');
  }
}
