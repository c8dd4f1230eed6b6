-- Database 1, where it has no table of subscriptions. Immutable: a change of the schema is a new file in this folder (docs/contributing.md).

DO $$
DECLARE
  home text;
  schemas name[];
BEGIN
  -- By the search_path of the role, which is not that of the service's sessions.
  WITH entered AS MATERIALIZED (SELECT pg_catalog.set_config('search_path', NULL, true)) SELECT current_schemas(false) INTO schemas FROM entered;
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  -- A role that is named like the service's schema has that schema first in its search_path ("$user").
  SELECT s.name INTO home FROM unnest(schemas) WITH ORDINALITY s(name, place)
  WHERE s.name <> 'subscription_sync' ORDER BY s.place LIMIT 1;
  IF home IS NULL THEN
    RAISE EXCEPTION 'DB1 has no schema for the table subscriptions. Create a schema that is in the role''s search_path, usually public, then start again'
      USING ERRCODE = 'invalid_schema_name';
  END IF;
  EXECUTE format($sql$
    CREATE TABLE %I.subscriptions (
      email                text        COLLATE "C" PRIMARY KEY CONSTRAINT subscriptions_email_not_empty CHECK (btrim(email, E' \t\n\r\f\v\u00a0') <> ''),
      status               text        NOT NULL DEFAULT 'pending',
      plan                 text,
      access_until         timestamptz,
      cancel_at_period_end boolean     NOT NULL DEFAULT false,
      metadata             jsonb       NOT NULL DEFAULT '{}',
      created_at           timestamptz NOT NULL DEFAULT now(),
      updated_at           timestamptz NOT NULL DEFAULT now()
    )$sql$, home);
  -- For filters by status, the most frequent ones in lists (libs/subscriptions, list-statement).
  EXECUTE format('CREATE INDEX subscriptions_by_status ON %I.subscriptions (status, email)', home);
END $$;
