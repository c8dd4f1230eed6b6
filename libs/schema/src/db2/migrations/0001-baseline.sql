-- Database 2. Immutable: a change of the schema is a new file in this folder (docs/contributing.md).

-- Upgrading from the tables of earlier versions, which are in the role's own schema, is a step of issue 15.
DO $$
BEGIN
  IF to_regclass('subscription_sync_migrations') IS NOT NULL THEN
    RAISE EXCEPTION 'DB2 has the tables of an earlier version of subscription-sync, which this version cannot upgrade. Use a new database (of npm start: delete its data folder), or the earlier version';
  END IF;
END $$;

-- `replicated_subscriptions` holds live rows and tombstones, guarded by version; the view `subscriptions` shows the live rows (replica-view.ts).
-- A tombstone keeps a late event from restoring a deleted row; of the row it keeps the email and the version only.
-- An existing table `subscriptions` is adopted as the guarded table: its rows get version 0, so that the first event of an email overwrites them.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('subscriptions') AND relkind NOT IN ('r', 'p')) THEN
    RAISE EXCEPTION 'DB2.subscriptions exists but is not a table. Rename it, then start again: its name is needed for the replica''s live rows';
  END IF;
  IF to_regclass('subscriptions') IS NOT NULL THEN
    IF NOT EXISTS (
      SELECT FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'email'
      WHERE i.indrelid = 'subscriptions'::regclass AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
        AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
    ) THEN
      RAISE EXCEPTION 'DB2.subscriptions exists without a unique index on email alone. Make it unique, then start again: CREATE UNIQUE INDEX CONCURRENTLY ON subscriptions (email)';
    END IF;
    ALTER TABLE subscriptions RENAME TO replicated_subscriptions;
  END IF;
END $$;

-- The guarded table and its view are found by the role's search_path. Everything else is in the schema subscription_sync (libs/postgres,
-- migrator). fillfactor 85: every change of a row is updated in place (HOT), because no index contains a column that changes.
DO $$
DECLARE
  home text;
BEGIN
  IF to_regclass('replicated_subscriptions') IS NULL THEN
    -- A role that is named like the service's schema has that schema first in its search_path ("$user").
    SELECT s.name INTO home FROM unnest(current_schemas(false)) WITH ORDINALITY s(name, place)
    WHERE s.name <> 'subscription_sync' ORDER BY s.place LIMIT 1;
    IF home IS NULL THEN
      RAISE EXCEPTION 'DB2 has no schema for the table replicated_subscriptions. Create a schema that is in the role''s search_path, usually public, then start again'
        USING ERRCODE = 'invalid_schema_name';
    END IF;
    EXECUTE format('CREATE TABLE %I.replicated_subscriptions (email text COLLATE "C" PRIMARY KEY) WITH (fillfactor = 85)', home);
  END IF;
END $$;
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

-- A tombstone has no values, so only the keys of an adopted table may be NOT NULL.
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

-- The position of each partition, stored with the rows. It serves reports and comparisons and is never used to skip a record, because a
-- topic that was deleted and created again starts at offset 0.
--   version_time  when the change of `version`, the highest one, was made: DB1's log has that change, or DB1 has lost it
--   record_time   Kafka's timestamp of the record at `offset`; infinity if unknown
--   breaks        how often the next records did not follow on those before (libs/replica, apply-statement)
CREATE TABLE subscription_sync.positions (
  topic        text        NOT NULL,
  partition    integer     NOT NULL,
  "offset"     bigint      NOT NULL,
  version      bigint      NOT NULL,
  applied_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  version_time timestamptz,
  record_time  timestamptz NOT NULL DEFAULT 'infinity',
  breaks       integer     NOT NULL DEFAULT 0,
  missing_from bigint,
  PRIMARY KEY (topic, partition)
);

-- Records that cannot be applied, as they were received. changed_at is the time of the last redrive or discard.
CREATE TABLE subscription_sync.dead_letters (
  id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic       text        NOT NULL,
  partition   integer     NOT NULL,
  "offset"    bigint      NOT NULL,
  key         bytea,
  value       bytea,
  error_class text        NOT NULL,
  error       text        NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  state       text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'applied', 'superseded', 'discarded')),
  redrives    integer     NOT NULL DEFAULT 0,
  changed_at  timestamptz,
  UNIQUE (topic, partition, "offset", error_class)
);
CREATE INDEX dead_letters_state ON subscription_sync.dead_letters (state, id);
