/**
 * `subscriptions`: made here, or adopted when other programs made it before us. An adopted table keeps its own columns;
 * what it lacks is added, and its rows carry version 0 until the log knows them (carry-over).
 * The lists' indexes are made apart (list-indexes.ts).
 */
export const CREATE_OR_ADOPT_SUBSCRIPTIONS = `
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('subscriptions') AND relkind NOT IN ('r', 'p')) THEN
    RAISE EXCEPTION 'DB1.subscriptions exists and is no table, so it can''t have the triggers that record its changes. Set DB1_DATABASE to where the table is, or rename the other thing, then start again';
  END IF;
END $$;

CREATE TABLE IF NOT EXISTS subscriptions (
  email text COLLATE "C" PRIMARY KEY CONSTRAINT subscriptions_email_not_empty CHECK (email <> '')
);
ALTER TABLE subscriptions
  ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'pending',
  ADD COLUMN IF NOT EXISTS plan text,
  ADD COLUMN IF NOT EXISTS access_until timestamptz,
  ADD COLUMN IF NOT EXISTS cancel_at_period_end boolean NOT NULL DEFAULT false,
  ADD COLUMN IF NOT EXISTS metadata jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now();`;

/**
 * Is there an index by which email is unique, alone and at every moment? The whole replication rests on it. A deferrable
 * constraint lets two rows have one email for a while, so that the one's deletion would hide the other; no upsert can use it either.
 */
export const EMAIL_IS_UNIQUE = `
SELECT EXISTS (
  SELECT FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'email'
  WHERE i.indrelid = 'subscriptions'::regclass AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
    AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
) AS found`;
