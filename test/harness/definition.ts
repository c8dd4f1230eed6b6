import type { Pool } from 'pg';
import { majorVersion } from './tested-versions.js';

/**
 * Returns statements that select one line for each object of a kind in `schemas`, a condition on `nspname`, and for what a database has outside
 * of schemas. Objects that an extension brings are its own.
 */
function partsIn(schemas: string, version: number): string[] {
  const SCHEMAS = `(SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND ${schemas})`;
  const RELATIONS = `(SELECT oid FROM pg_class WHERE relnamespace IN ${SCHEMAS})`;
  return [
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
    `SELECT 'comment', kind, identity, description
   FROM (
     SELECT kind, identity, description, coalesce(schema, '') AS nspname
     FROM pg_description, pg_identify_object(classoid, objoid, objsubid) o(kind, schema, name, identity)
     WHERE objoid >= 16384 OR objoid = to_regnamespace('public')
   ) described WHERE ${schemas}`,
    `SELECT 'default grant', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl FROM pg_default_acl`,
    `SELECT 'publication', to_jsonb(p) - 'oid' - 'pubowner', pubowner::regrole FROM pg_publication p`,
    `SELECT 'published table', pubname, prrelid::regclass, to_jsonb(r) - 'oid' - 'prpubid' - 'prrelid' FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid`,
    ...(version < 15
      ? []
      : [
          `SELECT 'published schema', pubname, pnnspid::regnamespace FROM pg_publication_namespace JOIN pg_publication p ON p.oid = pnpubid`,
        ]),
    `SELECT 'subscription', subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    `SELECT 'event trigger', evtname, evtevent, evtfoid::regprocedure, evtenabled, evttags FROM pg_event_trigger`,
    `SELECT 'extension', extname, extversion, extnamespace::regnamespace FROM pg_extension`,
    `SELECT 'aggregate', p.oid::regprocedure, to_jsonb(a) - 'aggfnoid' FROM pg_aggregate a JOIN pg_proc p ON p.oid = aggfnoid WHERE pronamespace IN ${SCHEMAS}`,
    `SELECT 'domain', oid::regtype, typbasetype::regtype, typtypmod, typnotnull, typdefault, typcollation::regcollation FROM pg_type WHERE typnamespace IN ${SCHEMAS} AND typtype = 'd'`,
    // Kinds that the service has no use for, by their names alone.
    ...[
      ...['pg_cast', 'pg_language', 'pg_foreign_data_wrapper', 'pg_foreign_server', 'pg_user_mapping', 'pg_transform', 'pg_am'].map(
        (catalog) => `SELECT o.* FROM ${catalog} c, pg_identify_object('${catalog}'::regclass, c.oid, 0) o WHERE c.oid >= 16384`,
      ),
      ...[
        'collation:coll',
        'conversion:con',
        'operator:opr',
        'opclass:opc',
        'opfamily:opf',
        'ts_config:cfg',
        'ts_dict:dict',
        'ts_parser:prs',
        'ts_template:tmpl',
      ].map((kind) => {
        const [name, prefix] = kind.split(':');
        return `SELECT o.* FROM pg_${name} c, pg_identify_object('pg_${name}'::regclass, c.oid, 0) o WHERE c.${prefix}namespace IN ${SCHEMAS}`;
      }),
    ],
    `SELECT 'security label', pg_describe_object(classoid, objoid, objsubid), provider, label FROM pg_seclabel`,
    `SELECT 'large object', oid FROM pg_largeobject_metadata`,
    `SELECT 'database', datdba::regrole, datacl, encoding, datcollate, datctype, datconnlimit FROM pg_database WHERE datname = current_database()`,
    `SELECT 'setting', setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  ];
}

/**
 * Describes everything that is defined in a database, one line for each object, as `pg_dump --schema-only` does and in more detail, from the
 * catalogs: the npm package of PostgreSQL has no pg_dump. Values of rows and of sequences are not part of it.
 */
export function snapshotOf(pool: Pool): Promise<string[]> {
  return linesOf(pool, 'true');
}

/** Describes the same, without the content of the service's schema. */
export function definitionOf(pool: Pool): Promise<string[]> {
  return linesOf(pool, `nspname <> 'subscription_sync'`);
}

async function linesOf(pool: Pool, schemas: string): Promise<string[]> {
  const found: string[] = [];
  for (const sql of partsIn(schemas, await majorVersion(pool))) {
    const { rows } = await pool.query<Record<string, string>>({ text: `SELECT to_json(part)::text AS line FROM (${sql}) part ORDER BY 1` });
    found.push(...rows.map(({ line }) => line!));
  }
  return found;
}
