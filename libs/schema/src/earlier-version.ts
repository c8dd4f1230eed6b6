import { type Query, viewByRole } from '#postgres';

type DatabaseName = 'DB1' | 'DB2';

/**
 * The tables of version 0.1, which had no schema of their own: they are in the schema of the users' table, the triggers of DB1 kept a version in
 * each row, and DB2's table was renamed to `replicated_subscriptions`, behind a view. db1/upgrade.ts and db2/upgrade.ts carry them over.
 */
export interface EarlierVersion {
  /** Schema of the tables, as SQL. */
  readonly schema: string;
  /** Name of the users' table, as SQL. */
  readonly table: string;
  /** Whether that version added the column `version` to the table; a column of another definition is the users' own. */
  readonly addedVersion: boolean;
}

/** The users' table, and one that only version 0.1 had. */
const TABLES = {
  DB1: ['subscriptions', 'subscription_changes'],
  DB2: ['replicated_subscriptions', 'replica_positions'],
};

/** The catalogs are read for the service's own table: looking it up by name fails for a role that may not use its schema. */
const SELECT_EARLIER_VERSION = `
SELECT n.schema, n.schema || '.' || $1 AS table, EXISTS (
    SELECT FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = to_regclass(n.schema || '.' || $1) AND a.attname = 'version' AND a.atttypid = 'int8'::regtype AND a.attnotnull
      AND pg_get_expr(d.adbin, d.adrelid) IN ('0', '''0''::bigint')
  ) AS "addedVersion"
FROM (SELECT quote_ident(s.nspname) AS schema FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
  WHERE c.oid = to_regclass($3)) n
WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'subscription_sync') AND c.relname = 'installation')
  AND to_regclass(n.schema || '.' || $2) IS NOT NULL`;

/** Returns the tables of version 0.1 that the database has, and undefined if it has none, or is upgraded. */
export async function findEarlierVersion(query: Query, database: DatabaseName): Promise<EarlierVersion | undefined> {
  const { relation } = await viewByRole(query, 'subscription_sync_migrations');
  const [found] = await query<EarlierVersion>(SELECT_EARLIER_VERSION, [...TABLES[database], relation]);
  return found;
}

/** Objects of the users that need what the upgrade drops: the view of DB2, or the column `version` of the table. */
const SELECT_DEPENDANTS = `
SELECT string_agg(DISTINCT coalesce(r.ev_class::regclass::text, pg_describe_object(d.classid, d.objid, d.objsubid)), ', ') AS names
FROM pg_depend d LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
WHERE d.refclassid = 'pg_class'::regclass AND d.deptype = 'n' AND coalesce(r.ev_class, 0) <> ALL ($2::regclass[])
  AND (d.refobjid = $1::regclass AND d.refobjsubid = (SELECT attnum FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'version' AND $3)
    OR d.refobjid = ANY ($2::regclass[]))
  AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (
    SELECT FROM pg_trigger t WHERE t.oid = d.objid AND t.tgname ~ '^(aa|zz)_subscription_sync_'))`;

/** Rows of other tables that refer to a subscription which was deleted in DB1, and of which DB2 kept a row as a tombstone. */
const SELECT_REFERENCES = `
SELECT conname::text AS name, conrelid::regclass::text AS "table",
  (SELECT string_agg(format('r.%I = s.%I', f.attname, k.attname), ' AND ')
   FROM unnest(c.conkey, c.confkey) AS p(own, referenced)
   JOIN pg_attribute f ON f.attrelid = c.conrelid AND f.attnum = p.own JOIN pg_attribute k ON k.attrelid = c.confrelid AND k.attnum = p.referenced) AS condition
FROM pg_constraint c WHERE c.confrelid = $1::regclass AND c.contype = 'f' AND c.confdeltype IN ('a', 'r')`;

/** Returns why the tables of version 0.1 cannot be upgraded, one line for each reason. */
export async function upgradeProblems(query: Query, database: DatabaseName, earlier: EarlierVersion): Promise<string[]> {
  const view = database === 'DB2' ? [`${earlier.schema}.subscriptions`] : [];
  const [dependants] = await query<{ names: string | null }>(SELECT_DEPENDANTS, [earlier.table, view, earlier.addedVersion]);
  const problems: string[] = [];
  if (dependants!.names !== null) {
    const lost =
      database === 'DB2' ? 'the view subscriptions, which becomes the table' : 'the column version of the table subscriptions, which goes';
    problems.push(
      `${database} cannot be upgraded while other objects use ${lost}: ${dependants!.names}. Drop them, start again, and create them anew`,
    );
  }
  if (database === 'DB1') return problems;
  for (const { name, table, condition } of await query<{ name: string; table: string; condition: string }>(SELECT_REFERENCES, [
    earlier.table,
  ])) {
    const [found] = await query<{ rows: number }>(
      `SELECT count(*)::int AS rows FROM ${table} r JOIN ${earlier.table} s ON ${condition} WHERE s.tombstoned_at IS NOT NULL`,
    );
    if (found!.rows > 0) {
      problems.push(
        `DB2 cannot be upgraded while rows of ${table} (${found!.rows}) refer to subscriptions that DB1 has deleted (constraint ${name}). Delete these rows: DELETE FROM ${table} r USING ${earlier.table} s WHERE ${condition} AND s.tombstoned_at IS NOT NULL`,
      );
    }
  }
  return problems;
}
