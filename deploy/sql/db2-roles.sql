-- Database 2: what the processes of subscription-sync may do, with a user of their own for each role. docs/connecting.md ("Database roles")
-- has the table of it, and docs/adr/0030-database-roles.md the reasons.
--
--   psql -v ON_ERROR_STOP=1 -v api=USER -v sync=USER -v replica=USER -f deploy/sql/db2-roles.sql
--
-- The owner of the schema subscription_sync and of the users' table runs it, after `npx subscription-sync migrate`, and again after each release. It
-- takes from the users what another release gave them. They exist already; several may be the same, for processes with several roles. A role
-- that does not connect to Database 2 gets a user that cannot log in.

BEGIN;

-- psql does not put its variables into the text of a DO block.
SET LOCAL subscription_sync.api TO :'api';
SET LOCAL subscription_sync.sync TO :'sync';
SET LOCAL subscription_sync.replica TO :'replica';

DO $$
DECLARE
  api text := quote_ident(current_setting('subscription_sync.api'));
  sync text := quote_ident(current_setting('subscription_sync.sync'));
  replica text := quote_ident(current_setting('subscription_sync.replica'));
  names text[] := ARRAY['api', 'sync', 'replica'];
  home regnamespace := 'subscription_sync';
  users_table regclass := (SELECT table_name FROM subscription_sync.installation);
  item record;
BEGIN
  -- Its rights cannot be limited.
  FOR item IN
    SELECT u.name, pg_get_userbyid(o.owner) AS owner
    FROM (SELECT current_setting('subscription_sync.' || n) AS name FROM unnest(names) n) u,
      (SELECT nspowner AS owner FROM pg_namespace WHERE oid = home UNION SELECT relowner FROM pg_class WHERE oid = users_table) o
    WHERE pg_has_role(u.name, o.owner, 'MEMBER')
  LOOP
    RAISE EXCEPTION 'The user % has the rights of the owner %. Name a user without them', item.name, item.owner;
  END LOOP;

  -- The users' table: replica writes it, sync writes the rows of a backfill, and api shows it.
  EXECUTE format('REVOKE ALL ON TABLE %s FROM %s, %s, %s', users_table, api, sync, replica);
  EXECUTE format('GRANT SELECT ON TABLE %s TO %s', users_table, api);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE ON TABLE %s TO %s', users_table, sync);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE %s TO %s', users_table, replica);
  -- The sequences of its numbered columns, apart from those of identity columns, which need no privilege.
  FOR item IN
    SELECT DISTINCT d.refobjid::regclass AS name
    FROM pg_attrdef a JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
    WHERE a.adrelid = users_table
  LOOP
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s, %s', item.name, sync, replica);
  END LOOP;
  -- The schemas of the table and of its types.
  FOR item IN
    SELECT DISTINCT n.nspname AS name, u.name AS grantee
    FROM (SELECT current_setting('subscription_sync.' || n) AS name FROM unnest(names) n) u, pg_namespace n
    WHERE NOT has_schema_privilege(u.name, n.oid, 'USAGE')
      AND (n.oid = (SELECT relnamespace FROM pg_class WHERE oid = users_table)
        OR n.oid IN (SELECT t.typnamespace FROM pg_attribute c JOIN pg_type t ON t.oid = c.atttypid WHERE c.attrelid = users_table))
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', item.name, item.grantee);
  END LOOP;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA subscription_sync FROM :"api", :"sync", :"replica";
REVOKE ALL ON ALL SEQUENCES IN SCHEMA subscription_sync FROM :"api", :"sync", :"replica";
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA subscription_sync FROM :"api", :"sync", :"replica";
REVOKE ALL ON SCHEMA subscription_sync FROM :"api", :"sync", :"replica";
GRANT USAGE ON SCHEMA subscription_sync TO :"api", :"sync", :"replica";

-- At the start of a process: what is installed.
GRANT SELECT ON subscription_sync.installation, subscription_sync.migrations TO :"api", :"sync", :"replica";

-- api: the replication status, and reads of Database 2.
GRANT SELECT ON subscription_sync.applied, subscription_sync.positions TO :"api";
GRANT SELECT (id, topic, partition, "offset", key, value, error_class, state) ON subscription_sync.dead_letters TO :"api";

-- sync: comparing, copying rows in a backfill, and erasures. It stores no position, and deletes no row and no dead letter.
GRANT SELECT, INSERT, UPDATE, DELETE ON subscription_sync.applied TO :"sync";
GRANT SELECT (key, value, created_at, state), UPDATE (key, value, state, changed_at) ON subscription_sync.dead_letters TO :"sync";
GRANT SELECT, UPDATE ON subscription_sync.positions TO :"sync";
GRANT SELECT, UPDATE (slot), DELETE ON subscription_sync.applied_lately TO :"sync";
GRANT SELECT, INSERT, UPDATE, DELETE ON subscription_sync.captured TO :"sync";
GRANT SELECT, INSERT, DELETE ON subscription_sync.row_keys TO :"sync";
GRANT EXECUTE ON FUNCTION subscription_sync.read_value(json, text), subscription_sync.analyze_row_keys() TO :"sync";

-- replica: applying the topic, and dead letters.
GRANT SELECT, INSERT, UPDATE ON subscription_sync.applied, subscription_sync.positions, subscription_sync.applied_lately TO :"replica";
GRANT SELECT, INSERT, UPDATE (error, state, redrives, changed_at) ON subscription_sync.dead_letters TO :"replica";

-- The statement that applies rows names this function, which has no rights of its own: sync has no DELETE on the users' table.
GRANT EXECUTE ON FUNCTION subscription_sync.delete_rows(anyarray) TO :"sync", :"replica";

COMMIT;
