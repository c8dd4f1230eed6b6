import type { MigrationInterface, QueryRunner } from 'typeorm';
import { installTriggerFunctions } from './trigger-functions.js';

/**
 * Passes that compare DB1 with DB2, and the `resynced` change by which they repair.
 *
 * One pass at a time is unfinished. Whoever works on it renews `lease_until`; after that anybody may go on from `position`, the last
 * email that is done. `repair`: whether it mends what it finds, up to `at_most` rows.
 */
export class Reconcile1764100000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE reconciliation_runs (
        id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        reason      text        NOT NULL,
        evidence    jsonb       NOT NULL,
        repair      boolean     NOT NULL,
        at_most     bigint,
        outcome     text,
        position    text        COLLATE "C" NOT NULL DEFAULT '',
        compared    bigint      NOT NULL DEFAULT 0,
        differing   bigint      NOT NULL DEFAULT 0,
        repaired    bigint      NOT NULL DEFAULT 0,
        runner      uuid,
        lease_until timestamptz NOT NULL DEFAULT clock_timestamp(),
        started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz
      );
      CREATE UNIQUE INDEX reconciliation_runs_unfinished ON reconciliation_runs ((true)) WHERE finished_at IS NULL;

      CREATE TABLE reconciliation_differences (
        id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run            bigint      NOT NULL REFERENCES reconciliation_runs ON DELETE CASCADE,
        email          text        COLLATE "C" NOT NULL,
        cause          text        NOT NULL,
        state          text        NOT NULL DEFAULT 'confirmed',
        version_in_db1 bigint,
        version_in_db2 bigint,
        found_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (run, email)
      )`);
    await installTriggerFunctions((sql) => runner.query(sql));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE reconciliation_differences, reconciliation_runs');
  }
}
