/**
 * DB2: `replicated_subscriptions` holds live rows and tombstones, guarded by version; the view `subscriptions` shows the live
 * ones. A tombstone keeps a late event from bringing a deleted row back, and nothing of the row but its email and version.
 *
 * A table `subscriptions` that was there before is adopted as the guarded table: its rows get version 0, so that the first
 * event of an email overwrites them. The view is made after it (replica-view.ts).
 *
 * fillfactor 85: every change of a row is an update in place (HOT), because no index names a column that changes.
 */
export const CREATE_REPLICA = `
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('subscriptions') AND relkind NOT IN ('r', 'p')) THEN
    RAISE EXCEPTION 'DB2.subscriptions exists and is no table. Rename it, then start again: its name is needed for the replica''s live rows';
  END IF;
  IF to_regclass('subscriptions') IS NOT NULL THEN
    ALTER TABLE subscriptions RENAME TO replicated_subscriptions;
    IF NOT EXISTS (
      SELECT FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'email'
      WHERE i.indrelid = 'replicated_subscriptions'::regclass AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
        AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
    ) THEN
      RAISE EXCEPTION 'DB2.subscriptions exists without a unique index on email alone. Make it unique, then start again: CREATE UNIQUE INDEX CONCURRENTLY ON subscriptions (email)';
    END IF;
  END IF;
END $$;

CREATE TABLE IF NOT EXISTS replicated_subscriptions (
  email text COLLATE "C" PRIMARY KEY
) WITH (fillfactor = 85);
ALTER TABLE replicated_subscriptions
  ADD COLUMN IF NOT EXISTS status text,
  ADD COLUMN IF NOT EXISTS plan text,
  ADD COLUMN IF NOT EXISTS access_until timestamptz,
  ADD COLUMN IF NOT EXISTS cancel_at_period_end boolean DEFAULT false,
  ADD COLUMN IF NOT EXISTS metadata jsonb DEFAULT '{}',
  ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS created_at timestamptz DEFAULT now(),
  ADD COLUMN IF NOT EXISTS updated_at timestamptz DEFAULT now(),
  ADD COLUMN IF NOT EXISTS tombstoned_at timestamptz;

-- A tombstone has none of the row's values, so an adopted table may insist on none but its keys.
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN
    SELECT a.attname FROM pg_attribute a
    WHERE a.attrelid = 'replicated_subscriptions'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
      AND a.attname NOT IN ('email', 'version')
      AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey))
  LOOP
    EXECUTE format('ALTER TABLE replicated_subscriptions ALTER COLUMN %I DROP NOT NULL', name);
  END LOOP;
END $$;

-- What is applied of each partition. For reports and comparisons; never used to skip a message, because a topic that was
-- deleted and made again starts at offset 0.
CREATE TABLE replica_positions (
  topic      text        NOT NULL,
  partition  integer     NOT NULL,
  "offset"   bigint      NOT NULL,
  version    bigint      NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (topic, partition)
);

-- Records that can't be applied, as they came.
CREATE TABLE dead_letters (
  id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic       text        NOT NULL,
  partition   integer     NOT NULL,
  "offset"    bigint      NOT NULL,
  key         bytea,
  value       bytea,
  error_class text        NOT NULL,
  error       text        NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (topic, partition, "offset", error_class)
);`;
