import type { Query } from '#postgres';
import type { EarlierVersion } from '../earlier-version.js';

/**
 * Carries versions, tombstones, positions and dead letters of version 0.1 over to the service's schema, and gives DB2's table its name back.
 * Readers wait only for the renaming.
 */
export async function upgradeDb2(query: Query, { schema, table, addedVersion }: EarlierVersion): Promise<void> {
  await query(`SET LOCAL lock_timeout = '2s'`);
  // Version 0.1 writes the table if it still runs. Readers go on.
  await query(`LOCK TABLE ${table} IN EXCLUSIVE MODE`);
  await query(copyVersions(table));
  await query(`DELETE FROM ${table} WHERE tombstoned_at IS NOT NULL`);
  await query(copyTables(schema));
  await query(restoreTable(schema, table));
  if (addedVersion) await query(`ALTER TABLE ${schema}.subscriptions DROP COLUMN version`);
}

/**
 * Returns the SQL that copies versions and tombstones. A row that existed before version 0.1 may have its email in another spelling than the
 * key; while it has version 0, it needs no row in `applied`.
 */
function copyVersions(table: string): string {
  return `
INSERT INTO subscription_sync.applied (email, version, deleted_at, written)
SELECT DISTINCT ON (r.email) r.email, r.version, r.deleted_at, nullif(r.written, r.email)
FROM (SELECT normalize(lower(s.email::text), NFC) COLLATE "C" AS email, s.email::text AS written, s.version, s.tombstoned_at AS deleted_at
  FROM ${table} s WHERE s.version > 0) r
ORDER BY r.email, r.version DESC`;
}

/** Returns the SQL that copies the other tables, and drops them. */
function copyTables(schema: string): string {
  const letters = 'id, topic, partition, "offset", key, value, error_class, error, created_at, state, redrives, changed_at';
  const positions = 'topic, partition, "offset", version, applied_at, version_time, record_time, breaks';
  return `
INSERT INTO subscription_sync.positions (${positions}) SELECT ${positions} FROM ${schema}.replica_positions;
INSERT INTO subscription_sync.dead_letters (${letters}) OVERRIDING SYSTEM VALUE SELECT ${letters} FROM ${schema}.dead_letters;
SELECT setval(pg_get_serial_sequence('subscription_sync.dead_letters', 'id'), max(id)) FROM subscription_sync.dead_letters HAVING count(*) > 0;
DROP TABLE ${schema}.replica_positions, ${schema}.dead_letters, ${schema}.subscription_sync_migrations`;
}

/**
 * Returns the SQL that puts the table back in the place of the view, whose readers may read it. A table that version 0.1 created gets the rules
 * and names of the one that this version creates.
 */
function restoreTable(schema: string, table: string): string {
  return `
DO $$
DECLARE
  reader text;
BEGIN
  FOR reader IN
    SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
    FROM pg_class c, aclexplode(c.relacl) acl
    WHERE c.oid = '${schema}.subscriptions'::regclass AND acl.privilege_type = 'SELECT' AND acl.grantee <> c.relowner
  LOOP
    EXECUTE 'GRANT SELECT ON ${table} TO ' || reader;
  END LOOP;
END $$;
DROP VIEW ${schema}.subscriptions;
ALTER TABLE ${table} DROP COLUMN tombstoned_at;
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = '${table}'::regclass AND conname = 'replicated_subscriptions_pkey') THEN
    ALTER TABLE ${table} RENAME CONSTRAINT replicated_subscriptions_pkey TO subscriptions_pkey;
    ALTER TABLE ${table} ALTER COLUMN status SET NOT NULL, ALTER COLUMN status SET DEFAULT 'pending',
      ALTER COLUMN cancel_at_period_end SET NOT NULL, ALTER COLUMN metadata SET NOT NULL,
      ALTER COLUMN created_at SET NOT NULL, ALTER COLUMN updated_at SET NOT NULL;
  END IF;
END $$;
ALTER TABLE ${table} RENAME TO subscriptions`;
}
