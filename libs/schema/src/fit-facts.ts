// The catalogs, as the check of a database (fit.ts) reads them.

/** The server, the role and the service's schema. */
export interface DatabaseFacts {
  readonly version: number;
  readonly encoding: string;
  readonly standby: boolean;
  readonly role: string;
  readonly database: string;
  /** Whether the role may create schemas. */
  readonly creates: boolean;
  /** Whether the service's schema exists, and whether the role may use it and create in it. */
  readonly schema: boolean;
  readonly uses: boolean;
  readonly fills: boolean;
  readonly installed: boolean;
  /** The schema in which a table without a schema is created. */
  readonly home: string | null;
  readonly fillsHome: boolean;
}

/** The users' table. */
export interface TableFacts {
  readonly oid: string;
  /** Name with its schema, as SQL. */
  readonly sql: string;
  readonly schema: string;
  readonly kind: string;
  readonly persistence: string;
  readonly owner: string;
  readonly owned: boolean;
  /** The table of which it is a partition. */
  readonly parent: string | null;
  readonly children: string | null;
  readonly keyType: string | null;
  readonly fitsKey: boolean;
  readonly columns: string;
  readonly hasStatus: boolean;
  /** The values of the status column's enum type, if it has one. */
  readonly statuses: string[] | null;
  readonly keyed: boolean;
  /** Unique indexes on the email that do not serve, each with its reason. */
  readonly unfitIndexes: string | null;
  /** Privileges that the role lacks, of those that it needs. */
  readonly lacking: string | null;
  /** Whether policies hide rows from the role. */
  readonly hidden: boolean;
}

export interface TriggerFacts {
  readonly table: string;
  readonly oid: string;
  readonly name: string;
  readonly always: boolean;
}

/** $1: the schemas of the role's search_path. */
export const SELECT_DATABASE_FACTS = `
SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
  pg_is_in_recovery() AS standby, current_user::text AS role, current_database()::text AS database,
  has_database_privilege(current_database(), 'CREATE') AS creates, n.oid IS NOT NULL AS schema,
  coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS uses, coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS fills,
  EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'installation') AS installed,
  h.name AS home, coalesce(has_schema_privilege(h.name, 'CREATE'), false) AS "fillsHome"
FROM (VALUES (true)) one LEFT JOIN pg_namespace n ON n.nspname = 'subscription_sync'
LEFT JOIN LATERAL (
  SELECT s.name::text FROM unnest($1::text[]) WITH ORDINALITY s(name, place)
  WHERE s.name <> 'subscription_sync' ORDER BY s.place LIMIT 1
) h ON true`;

/**
 * Replication relies on emails being unique at every moment: a deferrable constraint lets two rows share an email for a while. Privileges on
 * single columns are enough where the role has them.
 */
export const SELECT_TABLE_FACTS = `
SELECT c.oid::text AS oid, n.nspname AS schema, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS sql, c.relkind::text AS kind, c.relpersistence::text AS persistence,
  pg_get_userbyid(c.relowner)::text AS owner, pg_has_role(c.relowner, 'USAGE') AS owned,
  CASE WHEN c.relispartition THEN (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid) END AS parent,
  CASE WHEN c.relkind = 'r' THEN (SELECT string_agg(inhrelid::regclass::text, ', ') FROM pg_inherits WHERE inhparent = c.oid) END AS children,
  format_type(a.atttypid, a.atttypmod) AS "keyType", coalesce(t.typcategory = 'S', false) AS "fitsKey",
  (SELECT string_agg(o.attname, ', ' ORDER BY o.attnum) FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attnum > 0 AND NOT o.attisdropped) AS columns,
  EXISTS (SELECT FROM pg_attribute s WHERE s.attrelid = c.oid AND s.attname = $3 AND s.attnum > 0 AND NOT s.attisdropped) AS "hasStatus",
  (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_attribute s JOIN pg_enum e ON e.enumtypid = s.atttypid
   WHERE s.attrelid = c.oid AND s.attname = $3) AS statuses,
  u.keyed, u.unfit AS "unfitIndexes",
  (SELECT string_agg(p, ', ' ORDER BY place) FROM unnest($4::text[]) WITH ORDINALITY o(p, place)
   WHERE NOT CASE WHEN p = 'DELETE' THEN has_table_privilege(c.oid, p) ELSE has_any_column_privilege(c.oid, p) END) AS lacking,
  row_security_active(c.oid) AND (
    EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive AND ${isPolicyOfRole('p')})
    OR NOT EXISTS (
      SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd = '*' AND ${isPolicyOfRole('p')}
        AND pg_get_expr(p.polqual, p.polrelid) = 'true' AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
    )
  ) AS hidden
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_type t ON t.oid = a.atttypid,
LATERAL (
  SELECT coalesce(bool_or(reason IS NULL), false) AS keyed, string_agg(format('%s is %s', indexrelid::regclass, reason), ', ') AS unfit
  FROM (
    SELECT i.indexrelid, CASE
      WHEN i.indnkeyatts > 1 THEN 'on more than this column'
      WHEN i.indkey[0] = 0 THEN 'on an expression'
      WHEN i.indpred IS NOT NULL THEN 'partial'
      WHEN NOT i.indimmediate THEN 'deferrable'
      WHEN NOT i.indisvalid THEN 'invalid' END AS reason
    FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND (a.attnum = ANY (i.indkey) OR EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = c.oid AND d.refobjsubid = a.attnum))
  ) candidates
) u
WHERE c.oid = to_regclass($1)`;

function isPolicyOfRole(policy: string): string {
  return `EXISTS (SELECT FROM unnest(${policy}.polroles) r WHERE CASE WHEN r = 0 THEN true ELSE pg_has_role(r, 'USAGE') END)`;
}

export const SELECT_TRIGGERS = `
SELECT t.tgrelid::regclass::text AS "table", t.tgrelid::text AS oid, t.tgname::text AS name, t.tgenabled = 'A' AS always
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'subscription_sync' AND t.tgparentid = 0 ORDER BY 1`;

export const SELECT_INSTALLED_TABLE = `
SELECT i.table_name AS "table", i.key_column AS key, to_regclass(i.table_name) IS NOT NULL AS "tableExists",
  EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attname = i.key_column AND NOT a.attisdropped) AS "keyExists"
FROM subscription_sync.installation i`;

export interface InstalledTable {
  readonly table: string;
  readonly key: string;
  readonly tableExists: boolean;
  readonly keyExists: boolean;
}
