-- Database 1: what the processes of subscription-sync may do, with a user of their own for each role. docs/connecting.md ("Database roles")
-- has the table of it, and docs/adr/0030-database-roles.md the reasons.
--
--   psql -v ON_ERROR_STOP=1 -v api=USER -v sync=USER -f deploy/sql/db1-roles.sql
--
-- The owner of the schema subscription_sync and of the users' table runs it, after `npx subscription-sync migrate`, and again after each release. It
-- takes from the users what another release gave them. They exist already; both may be the same, for processes with ROLES=api,sync. For
-- CAPTURE=wal an administrator lets the user of sync replicate: ALTER ROLE … REPLICATION, or what your provider has for it.

BEGIN;

-- psql does not put its variables into the text of a DO block.
SET LOCAL subscription_sync.api TO :'api';
SET LOCAL subscription_sync.sync TO :'sync';

DO $$
DECLARE
  api text := quote_ident(current_setting('subscription_sync.api'));
  sync text := quote_ident(current_setting('subscription_sync.sync'));
  home regnamespace := 'subscription_sync';
  users_table regclass := (SELECT table_name FROM subscription_sync.installation);
  item record;
BEGIN
  -- Its rights cannot be limited, and taking them from the owner would keep the triggers from recording changes.
  FOR item IN
    SELECT u.name, pg_get_userbyid(o.owner) AS owner
    FROM unnest(ARRAY[current_setting('subscription_sync.api'), current_setting('subscription_sync.sync')]) u(name),
      (SELECT nspowner AS owner FROM pg_namespace WHERE oid = home UNION SELECT relowner FROM pg_class WHERE oid = users_table) o
    WHERE pg_has_role(u.name, o.owner, 'MEMBER')
  LOOP
    RAISE EXCEPTION 'The user % has the rights of the owner %. Name a user without them', item.name, item.owner;
  END LOOP;

  -- The users' table: writes by the API are made by its own user; sync reads only, and locks rows by a function.
  EXECUTE format('REVOKE ALL ON TABLE %s FROM %s, %s', users_table, api, sync);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE %s TO %s', users_table, api);
  EXECUTE format('GRANT SELECT ON TABLE %s TO %s', users_table, sync);
  -- The sequences of its numbered columns, apart from those of identity columns, which need no privilege.
  FOR item IN
    SELECT DISTINCT d.refobjid::regclass AS name
    FROM pg_attrdef a JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
    WHERE a.adrelid = users_table
  LOOP
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', item.name, api);
  END LOOP;
  -- The schemas of the table and of its types.
  FOR item IN
    SELECT DISTINCT n.nspname AS name, u.name AS grantee
    FROM unnest(ARRAY[current_setting('subscription_sync.api'), current_setting('subscription_sync.sync')]) u(name), pg_namespace n
    WHERE NOT has_schema_privilege(u.name, n.oid, 'USAGE')
      AND (n.oid = (SELECT relnamespace FROM pg_class WHERE oid = users_table)
        OR n.oid IN (SELECT t.typnamespace FROM pg_attribute c JOIN pg_type t ON t.oid = c.atttypid WHERE c.attrelid = users_table))
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', item.name, item.grantee);
  END LOOP;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA subscription_sync FROM :"api", :"sync";
REVOKE ALL ON ALL SEQUENCES IN SCHEMA subscription_sync FROM :"api", :"sync";
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA subscription_sync FROM :"api", :"sync";
REVOKE ALL ON SCHEMA subscription_sync FROM :"api", :"sync";
GRANT USAGE ON SCHEMA subscription_sync TO :"api", :"sync";

-- At the start of a process: what is installed.
GRANT SELECT ON subscription_sync.installation, subscription_sync.migrations TO :"api", :"sync";

-- api: the log is read for the history and the feed, and written by the triggers alone.
GRANT SELECT ON subscription_sync.changes, subscription_sync.pruned_changes, subscription_sync.log_horizon, subscription_sync.checkpoint
  TO :"api";
GRANT SELECT, INSERT, UPDATE, DELETE ON subscription_sync.idempotency_keys, subscription_sync.imports TO :"api";
GRANT SELECT, INSERT, UPDATE ON subscription_sync.erasures TO :"api";
-- A key is never deleted, and its hash, scopes and name never change.
GRANT SELECT, INSERT, UPDATE (expires_at, revoked_at, last_used_at, replaced_by) ON subscription_sync.api_keys TO :"api";
-- The list of administrative acts.
GRANT SELECT ON subscription_sync.audit TO :"api";
-- The replication status of one email.
GRANT SELECT (version, error) ON subscription_sync.unpublishable_changes TO :"api";
GRANT SELECT (id, finished_at) ON subscription_sync.reconciliation_runs TO :"api";
GRANT SELECT (run, email, state, version_in_db1, version_in_db2) ON subscription_sync.reconciliation_differences TO :"api";
GRANT EXECUTE ON FUNCTION
  subscription_sync.write(text, text, jsonb, jsonb, text[], text[]),
  subscription_sync.import_rows(jsonb, jsonb),
  subscription_sync.set_context(jsonb),
  subscription_sync.transition_allowed(text, text, boolean),
  subscription_sync.merge_patch(jsonb, jsonb),
  subscription_sync.merge_metadata(jsonb, jsonb, jsonb)
  TO :"api";

-- sync: capture, publishing, the log's partitions, comparing and repairing.
GRANT UPDATE (rows_recorded, rows_copied) ON subscription_sync.installation TO :"sync";
GRANT SELECT ON subscription_sync.changes TO :"sync";
GRANT SELECT, USAGE, UPDATE ON SEQUENCE subscription_sync.version TO :"sync";
GRANT SELECT, INSERT, UPDATE ON subscription_sync.checkpoint, subscription_sync.pruned_changes TO :"sync";
GRANT SELECT, INSERT, DELETE ON subscription_sync.unpublishable_changes TO :"sync";
-- It carries erasures out, and cannot request one.
GRANT SELECT, UPDATE (email, email_hash, version, erased_at, kafka, completed_at) ON subscription_sync.erasures TO :"sync";
GRANT SELECT, INSERT, DELETE ON subscription_sync.row_keys TO :"sync";
GRANT SELECT, INSERT, UPDATE, DELETE ON subscription_sync.reconciliation_runs, subscription_sync.reconciliation_differences TO :"sync";
GRANT EXECUTE ON FUNCTION
  subscription_sync.append_change(text, text, text, text, boolean, bigint),
  subscription_sync.append_row(text, text),
  subscription_sync.read_image(text),
  subscription_sync.read_value(json, text),
  -- The following run with the owner's rights, and do what only an owner may.
  subscription_sync.lock_rows(text[]),
  subscription_sync.create_partition(date),
  subscription_sync.drop_partition(date),
  subscription_sync.create_publication(),
  subscription_sync.analyze_row_keys(),
  subscription_sync.erase_changes(text, bigint, boolean)
  TO :"sync";
-- The callers of its own HTTP interface: a key is checked by its hash. It cannot make one.
GRANT SELECT (id, name, hash, scopes, expires_at, revoked_at, last_used_at, created_in_open_mode, kept_at), UPDATE (last_used_at)
  ON subscription_sync.api_keys TO :"sync";

-- Both roles. The audit log is written by both and changed by none: old entries are deleted by a function of the owner.
GRANT SELECT, INSERT, UPDATE, DELETE ON subscription_sync.rate_limits TO :"api", :"sync";
GRANT INSERT (actor, address, request_id, action, target, details) ON subscription_sync.audit TO :"api", :"sync";
GRANT EXECUTE ON FUNCTION subscription_sync.prune_audit(integer) TO :"api", :"sync";
GRANT EXECUTE ON FUNCTION
  subscription_sync.normalize_email(text),
  subscription_sync.written_key(text),
  subscription_sync.existing_key(text),
  subscription_sync.newest_version(text)
  TO :"api", :"sync";

COMMIT;
