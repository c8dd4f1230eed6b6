import type { Pool } from 'pg';

/** Schemas that are neither PostgreSQL's nor the service's. */
const SCHEMAS = `(SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'subscription_sync'))`;
const RELATIONS = `(SELECT oid FROM pg_class WHERE relnamespace IN ${SCHEMAS})`;

/** Each statement selects one line for each object of a kind. */
const PARTS = [
  `SELECT 'schema', nspname, nspowner::regrole, nspacl FROM pg_namespace WHERE oid IN ${SCHEMAS}`,
  `SELECT 'relation', oid::regclass, relkind, relowner::regrole, relacl, reloptions, relpersistence, relreplident, relrowsecurity, relforcerowsecurity,
     reltablespace, relam, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid), reloftype::regtype
   FROM pg_class WHERE oid IN ${RELATIONS} AND relkind NOT IN ('i', 'I')`,
  `SELECT 'column', a.attrelid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
     a.attcollation::regcollation, a.attstorage, a.attcompression, a.attstattarget, a.attacl, a.attoptions, a.atthasmissing, pg_get_expr(d.adbin, d.adrelid)
   FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE a.attrelid IN ${RELATIONS} AND a.attnum > 0`,
  `SELECT 'constraint', conrelid::regclass, contypid::regtype, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace IN ${SCHEMAS}`,
  `SELECT 'index', pg_get_indexdef(indexrelid), indisvalid, indisreplident, indisclustered, indimmediate, reloptions
   FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid IN ${RELATIONS}`,
  `SELECT 'view', oid::regclass, pg_get_viewdef(oid) FROM pg_class WHERE oid IN ${RELATIONS} AND relkind IN ('v', 'm')`,
  `SELECT 'trigger', pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE tgrelid IN ${RELATIONS} AND NOT tgisinternal`,
  `SELECT 'internal trigger', tgrelid::regclass, tgfoid::regproc, tgconstrrelid::regclass, tgenabled FROM pg_trigger WHERE tgrelid IN ${RELATIONS} AND tgisinternal`,
  `SELECT 'rule', pg_get_ruledef(oid), ev_enabled FROM pg_rewrite WHERE ev_class IN ${RELATIONS}`,
  `SELECT 'policy', polrelid::regclass, polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
   FROM pg_policy WHERE polrelid IN ${RELATIONS}`,
  `SELECT 'statistics', pg_get_statisticsobjdef(oid) FROM pg_statistic_ext WHERE stxnamespace IN ${SCHEMAS}`,
  `SELECT 'sequence', seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle FROM pg_sequence WHERE seqrelid IN ${RELATIONS}`,
  `SELECT 'inheritance', inhrelid::regclass, inhparent::regclass FROM pg_inherits WHERE inhparent IN ${RELATIONS}`,
  `SELECT 'function', oid::regprocedure, proowner::regrole, proacl, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace IN ${SCHEMAS} AND prokind <> 'a'`,
  `SELECT 'type', oid::regtype, typowner::regrole, typacl, typtype FROM pg_type WHERE typnamespace IN ${SCHEMAS}`,
  `SELECT 'enum', enumtypid::regtype, enumsortorder, enumlabel FROM pg_enum`,
  `SELECT 'comment', pg_describe_object(classoid, objoid, objsubid), description FROM pg_description WHERE objoid IN ${RELATIONS}`,
  `SELECT 'default grant', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl FROM pg_default_acl`,
  `SELECT 'publication', pubname, puballtables FROM pg_publication`,
  `SELECT 'published table', prrelid::regclass FROM pg_publication_rel`,
  `SELECT 'event trigger', evtname FROM pg_event_trigger`,
  `SELECT 'extension', extname, extversion FROM pg_extension`,
];

/**
 * Describes everything that is defined in a database outside of the service's schema, one line for each object, from the catalogs: the npm
 * package of PostgreSQL has no pg_dump. Values of rows and of sequences are not part of it.
 */
export async function definitionOf(pool: Pool): Promise<string[]> {
  const found: string[] = [];
  for (const sql of PARTS) {
    const { rows } = await pool.query<Record<string, string>>({ text: `SELECT to_json(part)::text AS line FROM (${sql}) part ORDER BY 1` });
    found.push(...rows.map(({ line }) => line!));
  }
  return found;
}
