import { escapeIdentifier } from 'pg';
import type { DataSource } from 'typeorm';
import { ROW_COLUMN_NAMES } from '#events';
import { withSchemaLock } from '#postgres';

type Query = (sql: string) => Promise<unknown>;

const SELECT_COLUMNS = `
SELECT c.relname AS relation, quote_ident(n.nspname) AS schema, a.attname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.oid IN ('replicated_subscriptions'::regclass, to_regclass('subscriptions')) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`;

/** Grants SELECT on the view to the roles that may read the table, whose name the view took. */
const PASS_ON_GRANTS = `
DO $$
DECLARE
  reader text;
BEGIN
  FOR reader IN
    SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
    FROM pg_class c, aclexplode(c.relacl) acl
    WHERE c.oid = 'replicated_subscriptions'::regclass AND acl.privilege_type = 'SELECT' AND acl.grantee <> c.relowner
  LOOP
    EXECUTE 'GRANT SELECT ON subscriptions TO ' || reader;
  END LOOP;
END $$`;

/**
 * Creates `subscriptions`, the view of the live rows, beside the table and with all its columns: an adopted table may have additional
 * ones. A column that a later migration adds is not there yet; {@link refreshReplicaView} adds it.
 */
export async function createReplicaView(query: Query): Promise<void> {
  const { schema, table } = await columns(query);
  const [own, additional] = [
    ROW_COLUMN_NAMES.filter((name) => table.includes(name)),
    table.filter((name) => !ROW_COLUMN_NAMES.includes(name)),
  ];
  await query(viewOf(schema, [...own, ...additional]));
  await query(PASS_ON_GRANTS);
}

/** Adds columns that were added to the table since. Runs at every start. */
export async function refreshReplicaView(dataSource: DataSource): Promise<void> {
  const query: Query = (sql) => dataSource.query(sql);
  const { schema, table, view } = await columns(query);
  const added = table.filter((name) => !view.includes(name));
  if (added.length === 0) return;
  await withSchemaLock(dataSource, async (manager) => {
    await manager.query(viewOf(schema, [...view, ...added]));
  });
}

/** Returns the columns of the table and of the view, and the table's schema as a SQL identifier. */
async function columns(query: Query): Promise<{ schema: string; table: string[]; view: string[] }> {
  const rows = (await query(SELECT_COLUMNS)) as { relation: string; schema: string; name: string }[];
  const of = (relation: string): string[] => rows.filter((row) => row.relation === relation).map(({ name }) => name);
  const { schema } = rows.find(({ relation }) => relation === 'replicated_subscriptions')!;
  return { schema, table: of('replicated_subscriptions').filter((name) => name !== 'tombstoned_at'), view: of('subscriptions') };
}

function viewOf(schema: string, names: readonly string[]): string {
  const list = names.map((name) => escapeIdentifier(name)).join(', ');
  return `CREATE OR REPLACE VIEW ${schema}.subscriptions AS SELECT ${list} FROM ${schema}.replicated_subscriptions WHERE tombstoned_at IS NULL`;
}
