-- Database 1. Immutable: a change of the schema is a new file in this folder (docs/contributing.md).

-- Upgrading from the tables of earlier versions, which are in the role's own schema, is a step of issue 15.
DO $$
BEGIN
  IF to_regclass('subscription_sync_migrations') IS NOT NULL THEN
    RAISE EXCEPTION 'DB1 has the tables of an earlier version of subscription-sync, which this version cannot upgrade. Use a new database (of npm start: delete its data folder), or the earlier version';
  END IF;
END $$;

-- Locks are taken in the order in which writers take them, `subscriptions` first. A lock that is not granted within 2 s fails the
-- migration, which is retried, so that other programs' writes do not queue behind it.
SET LOCAL lock_timeout = '2s';

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('subscriptions') AND relkind NOT IN ('r', 'p')) THEN
    RAISE EXCEPTION 'DB1.subscriptions exists but is not a table, so it can''t have the triggers that record its changes. Set DB1_DATABASE to the database of the table, or rename the other object, then start again';
  END IF;
END $$;

-- The users' own table, found by the role's search_path. Everything else is in the schema subscription_sync (libs/postgres, migrator).
-- Created here, or adopted when it exists. An adopted table keeps its own columns and gets those that it lacks; the change log gets its rows
-- later (libs/sync, record-existing-rows).
DO $$
DECLARE
  home text;
BEGIN
  IF to_regclass('subscriptions') IS NULL THEN
    -- A role that is named like the service's schema has that schema first in its search_path ("$user").
    SELECT s.name INTO home FROM unnest(current_schemas(false)) WITH ORDINALITY s(name, place)
    WHERE s.name <> 'subscription_sync' ORDER BY s.place LIMIT 1;
    IF home IS NULL THEN
      RAISE EXCEPTION 'DB1 has no schema for the table subscriptions. Create a schema that is in the role''s search_path, usually public, then start again'
        USING ERRCODE = 'invalid_schema_name';
    END IF;
    EXECUTE format($sql$
      CREATE TABLE %I.subscriptions (
        email text COLLATE "C" PRIMARY KEY CONSTRAINT subscriptions_email_not_empty CHECK (email <> '')
      )$sql$, home);
  END IF;
END $$;

-- Replication relies on emails being unique at every moment. A deferrable constraint lets two rows share an email for a while, so that the
-- deletion of one would hide the other; an upsert cannot use such a constraint either. Checked before the table is locked: an operator's
-- CREATE INDEX CONCURRENTLY would deadlock with this migration, which is retried until the index is there.
DO $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'email'
    WHERE i.indrelid = 'subscriptions'::regclass AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
      AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
  ) THEN
    RAISE EXCEPTION 'DB1.subscriptions exists without a unique index on email alone. Make it unique, then start again: CREATE UNIQUE INDEX CONCURRENTLY ON subscriptions (email)';
  END IF;
END $$;

ALTER TABLE subscriptions
  ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'pending',
  ADD COLUMN IF NOT EXISTS plan text,
  ADD COLUMN IF NOT EXISTS access_until timestamptz,
  ADD COLUMN IF NOT EXISTS cancel_at_period_end boolean NOT NULL DEFAULT false,
  ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now();

-- Indexes for the lists of the API. A large table gets them later, without blocking writers (libs/subscriptions, maintenance).
DO $$
BEGIN
  LOCK TABLE subscriptions IN SHARE MODE;
  IF NOT EXISTS (SELECT FROM subscriptions OFFSET 10000 LIMIT 1) THEN
    -- An adopted table may compare emails by the rules of a language; lists compare them by their bytes.
    IF NOT EXISTS (
      SELECT FROM pg_attribute
      WHERE attrelid = 'subscriptions'::regclass AND attname = 'email' AND attcollation = 'pg_catalog."C"'::regcollation
    ) THEN
      CREATE INDEX IF NOT EXISTS subscriptions_by_email ON subscriptions (email COLLATE "C");
    END IF;
    CREATE INDEX IF NOT EXISTS subscriptions_by_status ON subscriptions (status, email COLLATE "C");
  END IF;
END $$;

-- The highest version that JSON readers represent exactly: MAX_VERSION of libs/events.
CREATE SEQUENCE subscription_sync.version AS bigint MAXVALUE 9007199254740991;

-- Whether the log has a change of every row: rows that existed before the triggers are recorded in the background.
CREATE TABLE subscription_sync.installation (
  id                boolean PRIMARY KEY DEFAULT true CHECK (id),
  all_rows_recorded boolean NOT NULL
);
INSERT INTO subscription_sync.installation (all_rows_recorded) SELECT NOT EXISTS (SELECT FROM subscriptions);

-- The change log: one row for every committed change of `subscriptions`, written by trigger in the same transaction (ADR 1).
--   version               drawn from one sequence; the only ordering number
--   image, previous       JSON text: the row after the change (before a deletion), and the previous values of the changed columns; events
--                         are made of them (libs/events)
--   actor, reason, origin, traceparent   what the writer claims
--   database_user, application_name      who wrote
--   txid                  tells which changes became visible between two snapshots (ADR 3)
--   transition_violation  the status transition is not allowed; raw SQL made it anyway
-- The primary key includes occurred_at because the key of a partitioned table must include the partition key. Versions are unique by their
-- sequence.
CREATE TABLE subscription_sync.changes (
  version              bigint      NOT NULL,
  operation            text        NOT NULL,
  email                text        COLLATE "C" NOT NULL,
  image                text        NOT NULL,
  previous             text,
  actor                text        NOT NULL,
  reason               text,
  origin               text        NOT NULL,
  database_user        text        NOT NULL DEFAULT session_user,
  application_name     text,
  traceparent          text,
  occurred_at          timestamptz NOT NULL,
  txid                 xid8        NOT NULL DEFAULT pg_current_xact_id(),
  transition_violation boolean     NOT NULL DEFAULT false,
  PRIMARY KEY (version, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX changes_email ON subscription_sync.changes (email, version);
CREATE INDEX changes_txid ON subscription_sync.changes (txid, version);

-- Takes the rows of a month that has no partition yet, so that other programs' writes never fail for a missing partition.
CREATE TABLE subscription_sync.changes_default PARTITION OF subscription_sync.changes DEFAULT;

-- Partitions of this month and the next two, in UTC. Later ones: libs/change-log, partitions.
DO $$
DECLARE
  first_day date;
BEGIN
  FOR ahead IN 0..2 LOOP
    first_day := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead);
    EXECUTE format('CREATE TABLE subscription_sync.%I PARTITION OF subscription_sync.changes FOR VALUES FROM (%L) TO (%L)',
      'changes_' || to_char(first_day, 'YYYY_MM'),
      to_char(first_day, 'YYYY-MM-DD') || 'T00:00:00Z',
      to_char(first_day + interval '1 month', 'YYYY-MM-DD') || 'T00:00:00Z');
  END LOOP;
END $$;

-- How far the log is known to be on Kafka: every change of a transaction that is visible in published_snapshot, and every commit before
-- published_lsn. The slot never advances past a position that is not stored here.
CREATE TABLE subscription_sync.checkpoint (
  id                 boolean     PRIMARY KEY DEFAULT true CHECK (id),
  published_snapshot pg_snapshot NOT NULL,
  published_lsn      pg_lsn,
  updated_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Changes that Kafka refuses permanently. The stream goes on without them; the change log has their text.
CREATE TABLE subscription_sync.unpublishable_changes (
  version    bigint      PRIMARY KEY,
  email      text        COLLATE "C" NOT NULL,
  bytes      integer     NOT NULL,
  error      text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The newest change that was pruned from the log, in the order (txid, version), and the number of prunings. It tells a reader of the feed
-- that changes which it had not read are gone (ADR 17). Without a row nothing was pruned.
CREATE TABLE subscription_sync.log_horizon (
  id       boolean PRIMARY KEY DEFAULT true CHECK (id),
  txid     xid8    NOT NULL,
  version  bigint  NOT NULL,
  prunings integer NOT NULL DEFAULT 1
);

-- The newest change of each email whose changes were pruned since: the last version of an email is known for ever.
CREATE TABLE subscription_sync.pruned_changes (LIKE subscription_sync.changes, PRIMARY KEY (email));

-- Results of requests with an `Idempotency-Key`, kept for 24 hours. `principal` is the caller: keys of different callers never collide.
CREATE TABLE subscription_sync.idempotency_keys (
  principal   text        NOT NULL,
  key         text        NOT NULL,
  fingerprint text        NOT NULL,
  outcome     text        NOT NULL,
  version     bigint      NOT NULL,
  body        text,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_created_at ON subscription_sync.idempotency_keys (created_at);

-- One job for each imported file. Its process renews changed_at; the counts are lines.
CREATE TABLE subscription_sync.imports (
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
CREATE INDEX imports_started_at ON subscription_sync.imports (started_at);

-- API keys. The secret is never stored: hash is its SHA-256, which is enough for 256 random bits.
CREATE TABLE subscription_sync.api_keys (
  id           text        COLLATE "C" PRIMARY KEY,
  name         text        NOT NULL,
  hash         bytea       NOT NULL,
  scopes       text[]      NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_by   text        NOT NULL,
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz,
  replaced_by  text        COLLATE "C" REFERENCES subscription_sync.api_keys
);

-- Requests counted by the rate limiter. Worthless after a crash, so it is not written to the WAL.
CREATE UNLOGGED TABLE subscription_sync.rate_limits (
  "window" bigint NOT NULL,
  subject  text   COLLATE "C" NOT NULL,
  taken    bigint NOT NULL,
  PRIMARY KEY ("window", subject)
);

-- Runs that compare DB1 with DB2 and repair differences by `resynced` changes, and backfills, which copy all rows to DB2 first (ADR 19).
--   lease_until               the process that works on the run renews it; after that another process may continue from `position`
--   position                  the last email that is done
--   repair, repair_limit      whether the run repairs what it finds, and the maximum number of rows
--   after_email, until_email  rows with after_email < email <= until_email are compared (NULL: to the end)
--   load                      percent of the time in which the run works
--   rate                      maximum rows per second that a backfill copies
--   label, labelled_at        the version with which a backfill copies rows, and when it was drawn
--   since, scope, snapshot    changes that are not visible in `since` are compared first, and alone when scope is `changed`;
--                             `snapshot` is the `since` of the next run
CREATE TABLE subscription_sync.reconciliation_runs (
  id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  reason           text        NOT NULL,
  evidence         jsonb       NOT NULL,
  repair           boolean     NOT NULL,
  repair_limit     bigint,
  outcome          text,
  position         text        COLLATE "C" NOT NULL DEFAULT '',
  compared         bigint      NOT NULL DEFAULT 0,
  differing        bigint      NOT NULL DEFAULT 0,
  repaired         bigint      NOT NULL DEFAULT 0,
  runner           uuid,
  lease_until      timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at      timestamptz,
  kind             text        NOT NULL DEFAULT 'compare',
  scope            text        NOT NULL DEFAULT 'all',
  after_email      text        COLLATE "C" NOT NULL DEFAULT '',
  until_email      text        COLLATE "C",
  load             smallint    NOT NULL DEFAULT 100,
  rate             integer,
  label            bigint,
  labelled_at      timestamptz,
  snapshot         pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
  since            pg_snapshot,
  in_flight        bigint      NOT NULL DEFAULT 0,
  paused           boolean     NOT NULL DEFAULT false,
  cancel_requested boolean     NOT NULL DEFAULT false
);
-- At most one run is unfinished and not paused.
CREATE UNIQUE INDEX reconciliation_runs_unfinished ON subscription_sync.reconciliation_runs ((true)) WHERE finished_at IS NULL AND NOT paused;

CREATE TABLE subscription_sync.reconciliation_differences (
  id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run            bigint      NOT NULL REFERENCES subscription_sync.reconciliation_runs ON DELETE CASCADE,
  email          text        COLLATE "C" NOT NULL,
  cause          text        NOT NULL,
  state          text        NOT NULL DEFAULT 'confirmed',
  version_in_db1 bigint,
  version_in_db2 bigint,
  found_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (run, email)
);
CREATE INDEX reconciliation_differences_run ON subscription_sync.reconciliation_differences (run, id);

SET LOCAL lock_timeout = DEFAULT;
