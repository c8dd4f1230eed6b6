-- Database 2. Immutable: a change of the schema is a new file in this folder (docs/contributing.md).

-- Upgrading from the tables of earlier versions, which are in the role's own schema, is a step of issue 15.
DO $$
BEGIN
  IF to_regclass('subscription_sync_migrations') IS NOT NULL THEN
    RAISE EXCEPTION 'DB2 has the tables of an earlier version of subscription-sync, which this version cannot upgrade. Use a new database (of npm start: delete its data folder), or the earlier version';
  END IF;
END $$;

-- The users' own table, found by the role's search_path. Everything else is in the schema subscription_sync (libs/postgres, migrator). An
-- existing table is used as it is, and nothing of it is changed; where there is none, it is created here. A change of a row finds the row
-- by its email, so that index must be there.
DO $$
DECLARE
  home text;
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('subscriptions') AND relkind NOT IN ('r', 'p')) THEN
    RAISE EXCEPTION 'DB2.subscriptions exists but is not a table. Rename it, then start again: its name is needed for the replicated rows';
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
    RETURN;
  END IF;
  -- A role that is named like the service's schema has that schema first in its search_path ("$user").
  SELECT s.name INTO home FROM unnest(current_schemas(false)) WITH ORDINALITY s(name, place)
  WHERE s.name <> 'subscription_sync' ORDER BY s.place LIMIT 1;
  IF home IS NULL THEN
    RAISE EXCEPTION 'DB2 has no schema for the table subscriptions. Create a schema that is in the role''s search_path, usually public, then start again'
      USING ERRCODE = 'invalid_schema_name';
  END IF;
  -- fillfactor 85: every change of a row is updated in place (HOT), because no index contains a column that changes.
  EXECUTE format($sql$
    CREATE TABLE %I.subscriptions (
      email                text        COLLATE "C" PRIMARY KEY,
      status               text        NOT NULL DEFAULT 'pending',
      plan                 text,
      access_until         timestamptz,
      cancel_at_period_end boolean     NOT NULL DEFAULT false,
      metadata             jsonb       NOT NULL DEFAULT '{}',
      created_at           timestamptz NOT NULL DEFAULT now(),
      updated_at           timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 85)$sql$, home);
END $$;

-- The last change of each email that was applied: the guard against duplicates and late changes, and the lock that appliers of one email
-- wait for.
-- A row of `subscriptions` that is not in here has version 0, so that the first change of its email overwrites it.
--   deleted_at  when the email's last change, a deletion, was made: a tombstone, which keeps a late change from restoring the row
CREATE TABLE subscription_sync.applied (
  email      text        COLLATE "C" PRIMARY KEY,
  version    bigint      NOT NULL,
  deleted_at timestamptz
) WITH (fillfactor = 85);

-- Deletes rows for the statement that applies a batch (libs/replica, apply-statement). A statement in a function has its own snapshot,
-- which is as new as the locks that the caller holds. The array's type is that of the column, so that its index is used.
CREATE FUNCTION subscription_sync.delete_subscriptions(emails anyarray) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM subscriptions s WHERE s.email = ANY ($1);
END $$;

-- The position of each partition, stored with the rows. It serves reports and comparisons and is never used to skip a record, because a
-- topic that was deleted and created again starts at offset 0.
--   version_time  when the change of `version`, the highest one, was made: DB1's log has that change, or DB1 has lost it
--   record_time   Kafka's timestamp of the record at `offset`; infinity if unknown
--   breaks        how often the next records did not follow on those before (libs/replica, apply-statement)
--   missing_from  the first offset that was skipped; -1 for a topic that was created again
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

-- Changes that were applied lately, until they are looked up in DB1's log (libs/reconciliation, gaps). A change is in the slot that its version
-- determines, so the table never grows. It is worthless after a crash, so it is not written to the WAL.
CREATE UNLOGGED TABLE subscription_sync.applied_lately (
  topic     text    NOT NULL,
  partition integer NOT NULL,
  slot      integer NOT NULL,
  email     text    COLLATE "C" NOT NULL,
  version   bigint  NOT NULL,
  PRIMARY KEY (topic, partition, slot)
) WITH (fillfactor = 50);

-- The newest change that the capture is known to have read from DB1's log, and when it was made. Records of the topic do not affect it: if
-- DB1's log lacks this change, DB1 has lost changes (libs/reconciliation, gaps).
CREATE TABLE subscription_sync.captured (
  topic       text        PRIMARY KEY,
  version     bigint      NOT NULL,
  occurred_at timestamptz NOT NULL
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
