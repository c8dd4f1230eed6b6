-- Database 1. Immutable: a change of the schema is a new file in this folder (docs/contributing.md).

-- The highest version that JSON readers represent exactly: MAX_VERSION of libs/events.
CREATE SEQUENCE subscription_sync.version AS bigint MAXVALUE 9007199254740991;

-- The state of the rows that existed before the service came, which its log does not know.
--   was_empty      there were none
--   rows_recorded  those that the log needs are in it (libs/sync, existing-rows)
--   rows_copied    all of them have been copied to DB2 (libs/reconciliation, scheduler)
--   table_name, key_column   the users' table and the column of the email (libs/schema, fit)
CREATE TABLE subscription_sync.installation (
  id            boolean PRIMARY KEY DEFAULT true CHECK (id),
  was_empty     boolean NOT NULL,
  rows_recorded boolean NOT NULL DEFAULT false,
  rows_copied   boolean NOT NULL DEFAULT false,
  table_name    text    NOT NULL,
  key_column    text    NOT NULL
);

-- The emails of a table that has no index in the order of their bytes, in which both databases are compared. Filled by libs/reconciliation
-- when it is needed.
CREATE TABLE subscription_sync.row_keys (key text COLLATE "C" PRIMARY KEY);

-- The change log: one row for every committed change of the users' table, written by trigger in the same transaction (ADR 1).
--   version               drawn from one sequence; the only ordering number
--   email                 the key: normalised, whatever the table's spelling is
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

-- Erasures of emails (ADR 34).
--   email       until the erasure is complete; then email_hash, SHA-256 of the id, a colon and the email
--   version     changes up to this one are erased
--   erased_at   when everything was erased but the email and its version, which guard against late records
--   kafka       what Kafka still holds of the email
CREATE TABLE subscription_sync.erasures (
  id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email        text        COLLATE "C",
  email_hash   text,
  version      bigint      NOT NULL,
  requested_by text        NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  erased_at    timestamptz,
  kafka        jsonb,
  completed_at timestamptz,
  CHECK ((email IS NULL) = (completed_at IS NOT NULL)),
  CHECK ((email_hash IS NULL) = (completed_at IS NULL))
);
CREATE UNIQUE INDEX erasures_open ON subscription_sync.erasures (email) WHERE email IS NOT NULL;

-- API keys. The secret is never stored: hash is its SHA-256, which is enough for 256 random bits. A key that was made while requests needed no
-- credential (created_in_open_mode) is refused until an operator has kept it (kept_at).
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
  replaced_by  text        COLLATE "C" REFERENCES subscription_sync.api_keys,
  created_in_open_mode boolean NOT NULL DEFAULT false,
  kept_at      timestamptz
);

-- Administrative acts, written by the statement that does the act or before it begins. There is no email in it. The process states what it
-- knows of the caller; the time and the database's user are not its to choose.
CREATE TABLE subscription_sync.audit (
  id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor         text        NOT NULL,
  address       text,
  request_id    text,
  action        text        NOT NULL,
  target        text,
  details       jsonb       NOT NULL,
  database_user text        NOT NULL DEFAULT session_user
);
CREATE INDEX audit_recorded_at ON subscription_sync.audit (recorded_at);

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
  yielded          boolean     NOT NULL DEFAULT false,
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
