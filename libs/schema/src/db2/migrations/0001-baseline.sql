-- Database 2. Immutable: a change of the schema is a new file in this folder (docs/contributing.md).

-- The users' table and the column of the email, as of the installation (libs/schema, fit).
CREATE TABLE subscription_sync.installation (
  id         boolean PRIMARY KEY DEFAULT true CHECK (id),
  table_name text    NOT NULL,
  key_column text    NOT NULL
);

-- The last change of each email that was applied: the guard against duplicates and late changes, and the lock that appliers of one email
-- wait for.
-- A row of the users' table that is not in here has version 0, so that the first change of its email overwrites it.
--   deleted_at  when the email's last change, a deletion, was made: a tombstone, which keeps a late change from restoring the row
--   written     the email as the table has it, where that is not its normalised spelling
--   renamed     the spelling before the last change, where that change made it another one
CREATE TABLE subscription_sync.applied (
  email      text        COLLATE "C" PRIMARY KEY,
  version    bigint      NOT NULL,
  deleted_at timestamptz,
  written    text,
  renamed    text
) WITH (fillfactor = 85);

-- The emails of a table that has no index in the order of their bytes, in which both databases are compared. Filled by libs/reconciliation
-- when it is needed.
CREATE TABLE subscription_sync.row_keys (key text COLLATE "C" PRIMARY KEY);

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
