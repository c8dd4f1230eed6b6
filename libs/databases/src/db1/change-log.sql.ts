/**
 * The change log: every committed change of `subscriptions` is one row here, written in the same transaction by trigger.
 * It is the outbox, the history, the feed and the source of replays (ADR 1).
 *
 * - `version` is drawn from one sequence: the only ordering number.
 * - `event` is the text that goes to Kafka, built once (see #contracts).
 * - `txid` tells which changes became visible between two snapshots: what the poll capture reads (ADR 3).
 *
 * The primary key carries `occurred_at` because a partitioned table's key must contain the partition key; versions are
 * unique by their sequence.
 */
export const CREATE_CHANGE_LOG = `
CREATE SEQUENCE subscription_version AS bigint;

CREATE TABLE subscription_changes (
  version          bigint      NOT NULL,
  operation        text        NOT NULL,
  email            text        COLLATE "C" NOT NULL,
  event            text        NOT NULL,
  actor            text        NOT NULL,
  reason           text,
  origin           text        NOT NULL,
  application_name text,
  traceparent      text,
  occurred_at      timestamptz NOT NULL,
  txid             xid8        NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (version, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX subscription_changes_email ON subscription_changes (email, version);
CREATE INDEX subscription_changes_txid ON subscription_changes (txid, version);

-- Rows land here only when nobody made the month's partition in time: other programs' writes must not fail for it.
CREATE TABLE subscription_changes_default PARTITION OF subscription_changes DEFAULT;

-- How far the log is known to be on Kafka: every change of a transaction that is visible in published_snapshot, and every
-- commit before published_lsn. The slot is never told of a position that is not stored here first.
CREATE TABLE sync_checkpoint (
  id                 boolean     PRIMARY KEY DEFAULT true CHECK (id),
  published_snapshot pg_snapshot NOT NULL,
  published_lsn      pg_lsn,
  updated_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);`;
