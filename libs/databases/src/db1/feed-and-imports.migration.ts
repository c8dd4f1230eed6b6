import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * - `log_horizon`: the last of the changes that were pruned, in the order (txid, version), and how often the log was pruned: by them a
 *   reader of the feed learns that something it had not read is gone (ADR 17). No row while nothing was.
 * - `imports`: a job for each file that was imported. Its process renews `changed_at`; counts are lines.
 * - `subscription_import`: `subscription_put` for many rows at once, one statement. `lines`: a JSON array of objects with the columns;
 *   an email may be there once. Rows that would stay as they are, are not written. In the order of the emails: two imports can't
 *   deadlock on each other's rows.
 */
export class FeedAndImports1764400000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE log_horizon (
        id       boolean PRIMARY KEY DEFAULT true CHECK (id),
        txid     xid8    NOT NULL,
        version  bigint  NOT NULL,
        prunings integer NOT NULL DEFAULT 1
      );

      CREATE TABLE imports (
        id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
        state       text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'finished', 'failed')),
        dry_run     boolean     NOT NULL,
        lines       bigint      NOT NULL DEFAULT 0,
        created     bigint      NOT NULL DEFAULT 0,
        updated     bigint      NOT NULL DEFAULT 0,
        unchanged   bigint      NOT NULL DEFAULT 0,
        superseded  bigint      NOT NULL DEFAULT 0,
        refused     bigint      NOT NULL DEFAULT 0,
        errors      jsonb       NOT NULL DEFAULT '[]',
        error       text,
        started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz
      );
      CREATE INDEX imports_started_at ON imports (started_at);

      CREATE FUNCTION subscription_import(lines jsonb, context jsonb) RETURNS TABLE (created integer, updated integer)
      LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM subscription_set_context(context);
        RETURN QUERY
        WITH written AS (
          INSERT INTO subscriptions AS s (email, status, plan, access_until, cancel_at_period_end, metadata)
          SELECT subscription_email(f.email), f.status, f.plan, f.access_until, coalesce(f.cancel_at_period_end, false), coalesce(f.metadata, '{}')
          FROM jsonb_populate_recordset(NULL::subscriptions, lines) f
          ORDER BY 1
          ON CONFLICT (email) DO UPDATE SET status = excluded.status, plan = excluded.plan, access_until = excluded.access_until,
            cancel_at_period_end = excluded.cancel_at_period_end, metadata = excluded.metadata
          WHERE (s.status, s.plan, s.access_until, s.cancel_at_period_end, s.metadata)
            IS DISTINCT FROM (excluded.status, excluded.plan, excluded.access_until, excluded.cancel_at_period_end, excluded.metadata)
          RETURNING s.xmax = 0 AS is_new
        )
        SELECT count(*) FILTER (WHERE is_new)::integer, count(*) FILTER (WHERE NOT is_new)::integer FROM written;
      END $$`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION subscription_import(jsonb, jsonb); DROP TABLE imports, log_horizon');
  }
}
