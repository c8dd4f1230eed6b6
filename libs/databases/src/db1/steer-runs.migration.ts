import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Runs that can be bounded, paused and cancelled, and runs of another kind, which bring all rows to DB2 first (ADR 19).
 *
 * Rows with `after_email` < email <= `until_email` (NULL: to the end) are looked at. `load`: percent of the time in which it works.
 * `rate`: rows a second that these bring at most. `since`: the changes that are not visible in it are looked at first, and
 * alone when `scope` is `changed`; `snapshot` is what the next run takes for it. Beside a paused run another one may be made.
 */
export class SteerRuns1764500000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE reconciliation_runs
        ADD COLUMN kind             text        NOT NULL DEFAULT 'compare',
        ADD COLUMN scope            text        NOT NULL DEFAULT 'all',
        ADD COLUMN after_email      text        COLLATE "C" NOT NULL DEFAULT '',
        ADD COLUMN until_email      text        COLLATE "C",
        ADD COLUMN load             smallint    NOT NULL DEFAULT 100,
        ADD COLUMN rate             integer,
        ADD COLUMN snapshot         pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
        ADD COLUMN since            pg_snapshot,
        ADD COLUMN in_flight        bigint      NOT NULL DEFAULT 0,
        ADD COLUMN paused           boolean     NOT NULL DEFAULT false,
        ADD COLUMN cancel_requested boolean     NOT NULL DEFAULT false;
      DROP INDEX reconciliation_runs_unfinished;
      CREATE UNIQUE INDEX reconciliation_runs_unfinished ON reconciliation_runs ((true)) WHERE finished_at IS NULL AND NOT paused;
      CREATE INDEX reconciliation_differences_run ON reconciliation_differences (run, id)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX reconciliation_differences_run, reconciliation_runs_unfinished;
      DELETE FROM reconciliation_runs WHERE finished_at IS NULL AND paused;
      CREATE UNIQUE INDEX reconciliation_runs_unfinished ON reconciliation_runs ((true)) WHERE finished_at IS NULL;
      ALTER TABLE reconciliation_runs DROP COLUMN kind, DROP COLUMN scope, DROP COLUMN after_email, DROP COLUMN until_email, DROP COLUMN load,
        DROP COLUMN rate, DROP COLUMN snapshot, DROP COLUMN since, DROP COLUMN in_flight, DROP COLUMN paused, DROP COLUMN cancel_requested`);
  }
}
