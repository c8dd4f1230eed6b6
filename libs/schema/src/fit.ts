import { escapeIdentifier } from 'pg';
import type { MappingSettings, TableSettings } from '#config';
import { STATUSES } from '#events';
import { type Query, tableLabel, tableName } from '#postgres';
import { restoreTriggers } from './db1/triggers.js';
import { type EarlierVersion, findEarlierVersion, upgradeProblems } from './earlier-version.js';

type DatabaseName = 'DB1' | 'DB2';

/** The server, the role and the service's schema. */
interface DatabaseFacts {
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
interface TableFacts {
  readonly oid: string;
  /** Name with its schema, as SQL. */
  readonly sql: string;
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
  /** Privileges that the role lacks. */
  readonly lacking: string | null;
  /** Whether policies hide rows from the role. */
  readonly hidden: boolean;
}

interface TriggerFacts {
  readonly table: string;
  readonly oid: string;
  readonly name: string;
  readonly always: boolean;
}

const SELECT_DATABASE_FACTS = `
SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
  pg_is_in_recovery() AS standby, current_user::text AS role, current_database()::text AS database,
  has_database_privilege(current_database(), 'CREATE') AS creates, n.oid IS NOT NULL AS schema,
  coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS uses, coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS fills,
  EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'installation') AS installed,
  h.name AS home, coalesce(has_schema_privilege(h.name, 'CREATE'), false) AS "fillsHome"
FROM (VALUES (true)) one LEFT JOIN pg_namespace n ON n.nspname = 'subscription_sync'
LEFT JOIN LATERAL (
  SELECT s.name::text FROM unnest(current_schemas(false)) WITH ORDINALITY s(name, place)
  WHERE s.name <> 'subscription_sync' ORDER BY s.place LIMIT 1
) h ON true`;

/**
 * Replication relies on emails being unique at every moment: a deferrable constraint lets two rows share an email for a while. Privileges on
 * single columns are enough where the role has them.
 */
const SELECT_TABLE_FACTS = `
SELECT c.oid::text AS oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS sql, c.relkind::text AS kind, c.relpersistence::text AS persistence,
  pg_get_userbyid(c.relowner)::text AS owner, pg_has_role(c.relowner, 'USAGE') AS owned,
  CASE WHEN c.relispartition THEN (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid) END AS parent,
  CASE WHEN c.relkind = 'r' THEN (SELECT string_agg(inhrelid::regclass::text, ', ') FROM pg_inherits WHERE inhparent = c.oid) END AS children,
  format_type(a.atttypid, a.atttypmod) AS "keyType", coalesce(t.typcategory = 'S', false) AS "fitsKey",
  (SELECT string_agg(o.attname, ', ' ORDER BY o.attnum) FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attnum > 0 AND NOT o.attisdropped) AS columns,
  EXISTS (SELECT FROM pg_attribute s WHERE s.attrelid = c.oid AND s.attname = $3 AND s.attnum > 0 AND NOT s.attisdropped) AS "hasStatus",
  (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_attribute s JOIN pg_enum e ON e.enumtypid = s.atttypid
   WHERE s.attrelid = c.oid AND s.attname = $3) AS statuses,
  u.keyed, u.unfit AS "unfitIndexes",
  (SELECT string_agg(p, ', ' ORDER BY place) FROM unnest('{SELECT,INSERT,UPDATE}'::text[]) WITH ORDINALITY o(p, place) WHERE NOT has_any_column_privilege(c.oid, p))
    AS lacking,
  NOT has_table_privilege(c.oid, 'DELETE') AS "cannotDelete",
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

const SELECT_TRIGGERS = `
SELECT t.tgrelid::regclass::text AS "table", t.tgrelid::text AS oid, t.tgname::text AS name, t.tgenabled = 'A' AS always
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'subscription_sync' AND t.tgparentid = 0 ORDER BY 1`;

const SELECT_INSTALLED_TABLE = `
SELECT i.table_name AS "table", i.key_column AS key, to_regclass(i.table_name) IS NOT NULL AS "tableExists",
  EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attname = i.key_column AND NOT a.attisdropped) AS "keyExists"
FROM subscription_sync.installation i`;

interface InstalledTable {
  readonly table: string;
  readonly key: string;
  readonly tableExists: boolean;
  readonly keyExists: boolean;
}

type StatusSettings = Pick<MappingSettings, 'statuses' | 'transitionsFile'>;

/**
 * Checks, before anything is changed and at every start, that the service can work with a database. It only reads.
 * @throws Error that lists what is wrong, one line each, with the statement or the setting that corrects it.
 */
export async function expectFit(query: Query, database: DatabaseName, table: TableSettings, statuses?: StatusSettings): Promise<void> {
  const [facts] = await query<DatabaseFacts>(SELECT_DATABASE_FACTS);
  const problems = [...databaseProblems(database, facts!), ...(await tableProblems(query, database, table, facts!, statuses))];
  if (problems.length > 0) throw new Error(problems.join('\n'));
}

function databaseProblems(database: DatabaseName, facts: DatabaseFacts): string[] {
  const { version, encoding, standby, role } = facts;
  const problems: string[] = [];
  if (version < 140_000) problems.push(`${database} is PostgreSQL ${Math.floor(version / 10_000)}; version 14 or newer is needed`);
  if (encoding !== 'UTF8') {
    problems.push(
      `${database} has the encoding ${encoding}, which cannot hold every email; UTF8 is needed. Create a database with ENCODING 'UTF8', and restore a dump of this one into it`,
    );
  }
  if (standby) problems.push(`${database} is a standby, which nothing can be written to. Connect to the primary, or promote this server`);
  const grantee = escapeIdentifier(role);
  if (!facts.schema && !facts.creates) {
    problems.push(
      `permission denied for database ${facts.database}: the role ${role} may not create the schema subscription_sync. Create it: CREATE SCHEMA subscription_sync AUTHORIZATION ${grantee}`,
    );
  }
  if (facts.schema && (!facts.uses || (!facts.installed && !facts.fills))) {
    problems.push(
      `permission denied for schema subscription_sync: the role ${role} may not use it. GRANT USAGE, CREATE ON SCHEMA subscription_sync TO ${grantee}`,
    );
  }
  return problems;
}

async function tableProblems(
  query: Query,
  database: DatabaseName,
  settings: TableSettings,
  facts: DatabaseFacts,
  statuses?: StatusSettings,
): Promise<string[]> {
  const name = tableName(settings);
  const label = tableLabel(database, settings);
  const isInstalled = facts.installed && facts.uses;
  const earlier = facts.installed ? undefined : await findEarlierVersion(query, database);
  if (earlier && differsFromEarlier(settings, earlier)) {
    return [
      `${database} has the tables of version 0.1, which is upgraded with its own table only. Take ${database}_TABLE, ${database}_KEY_COLUMN and ${database}_STATUS_COLUMN out of the settings`,
    ];
  }
  const [table] = await query<TableFacts & { readonly cannotDelete: boolean }>(SELECT_TABLE_FACTS, [
    earlier?.table ?? name,
    settings.key,
    settings.status,
  ]);
  const moved = isInstalled ? await installationProblems(query, database, settings, table) : [];
  if (moved.length > 0) return moved;
  if (!table) {
    if (settings.schema !== undefined || settings.name !== 'subscriptions' || isInstalled)
      return [`${label} does not exist, or the role may not see its schema. Correct ${database}_TABLE, or create the table`];
    return [...homeProblems(database, facts), ...transitionProblems(label, statuses)];
  }
  if (table.kind !== 'r' && table.kind !== 'p') {
    const why = database === 'DB1' ? ': only a table can have the triggers that record its changes' : '';
    return [
      `${label} is not a table${table.kind === 'f' ? ' of this database' : ''}. Set ${database}_TABLE to the table of the subscriptions${why}`,
    ];
  }
  const problems = [
    ...columnProblems(database, label, settings, table),
    ...privilegeProblems(label, facts, table),
    ...(earlier ? await upgradeProblems(query, database, earlier) : []),
  ];
  if (table.persistence === 't') problems.push(`${label} is a temporary table, which other sessions cannot see. Create an ordinary table`);
  if (database === 'DB2') return problems;
  problems.push(...transitionProblems(label, statuses, table.statuses));
  if (table.persistence === 'u')
    problems.push(`${label} is unlogged: a crash of the server empties it without a trigger. ALTER TABLE ${table.sql} SET LOGGED`);
  if (table.parent !== null)
    problems.push(`${label} is a partition, and rows may move to another one. Set DB1_TABLE to the partitioned table ${table.parent}`);
  if (table.children !== null) {
    problems.push(
      `${label} has tables that inherit from it, whose rows it shows, and whose changes its triggers do not see: ${table.children}. ALTER TABLE … NO INHERIT ${table.sql}`,
    );
  }
  if (!isInstalled && !table.owned) {
    problems.push(
      `must be owner of table ${settings.name}: ${label} belongs to ${table.owner}, and only its owner can give it triggers that always fire. GRANT ${escapeIdentifier(table.owner)} TO ${escapeIdentifier(facts.role)}`,
    );
  }
  return problems;
}

/** Version 0.1 knew no other names. */
function differsFromEarlier({ schema, name, key, status }: TableSettings, earlier: EarlierVersion): boolean {
  return name !== 'subscriptions' || (schema ?? earlier.schema) !== earlier.schema || key !== 'email' || status !== 'status';
}

/** Returns how the statuses of STATUS_TRANSITIONS_FILE differ from those of the table, of which `labels` are those of an enum type. */
function transitionProblems(label: string, settings: StatusSettings | undefined, labels: readonly string[] | null = null): string[] {
  if (!settings?.transitionsFile) return [];
  const { file, transitions } = settings.transitionsFile;
  const [statuses, source] = labels
    ? [labels, 'its enum type']
    : settings.statuses
      ? [settings.statuses, 'STATUSES']
      : [STATUSES, 'the built-in ones, because STATUSES is not set'];
  const named = Object.keys(transitions);
  const differences = [
    ...named.filter((status) => !statuses.includes(status)).map((status) => `has an entry for ${JSON.stringify(status)}, which is none of`),
    ...statuses.filter((status) => !named.includes(status)).map((status) => `has no entry for ${JSON.stringify(status)}, which is one of`),
  ];
  return differences.map(
    (difference) =>
      `STATUS_TRANSITIONS_FILE: ${file} ${difference} the statuses of ${label}: ${statuses.join(', ')} (${source}). Correct the file, then restart`,
  );
}

/** Returns why the table of the subscriptions cannot be created. */
function homeProblems(database: DatabaseName, { home, fillsHome, role }: DatabaseFacts): string[] {
  if (home === null) {
    return [
      `${database} has no schema for the table subscriptions. Create a schema that is in the role's search_path, usually public, then start again`,
    ];
  }
  if (fillsHome) return [];
  return [
    `permission denied for schema ${home}: the role ${role} may not create the table subscriptions there. GRANT CREATE ON SCHEMA ${escapeIdentifier(home)} TO ${escapeIdentifier(role)}, or set ${database}_TABLE to an existing table`,
  ];
}

function columnProblems(database: DatabaseName, label: string, { key, status }: TableSettings, table: TableFacts): string[] {
  const problems: string[] = [];
  if (!table.hasStatus) problems.push(`${label} has no column ${status}. Set ${database}_STATUS_COLUMN to one of ${table.columns}`);
  if (table.keyType === null) {
    problems.push(`${label} has no column ${key}. Set ${database}_KEY_COLUMN to the column of the email, one of ${table.columns}`);
  } else if (!table.fitsKey) {
    problems.push(
      `column ${key} of ${label} is ${table.keyType}, which is not a text. Set ${database}_KEY_COLUMN to the column of the email`,
    );
  } else if (!table.keyed) {
    const unfit = table.unfitIndexes === null ? '' : ` (${table.unfitIndexes})`;
    // An index of a partitioned table cannot be built concurrently.
    const create = `CREATE UNIQUE INDEX ${table.kind === 'p' ? '' : 'CONCURRENTLY '}ON ${table.sql} (${escapeIdentifier(key)})`;
    problems.push(
      `${label} has no unique index on ${key} alone that is checked at once${unfit}. Make it unique, then start again: ${create}`,
    );
  }
  return problems;
}

function privilegeProblems(label: string, { role }: DatabaseFacts, table: TableFacts & { readonly cannotDelete: boolean }): string[] {
  const problems: string[] = [];
  const lacking = [...(table.lacking?.split(', ') ?? []), ...(table.cannotDelete ? ['DELETE'] : [])].join(', ');
  const grantee = escapeIdentifier(role);
  if (lacking !== '')
    problems.push(
      `permission denied for table ${label}: the role ${role} lacks ${lacking}. GRANT ${lacking} ON ${table.sql} TO ${grantee}`,
    );
  if (table.hidden) {
    problems.push(
      `row-level security hides rows of ${label} from the role ${role}, which would not be replicated or compared. ALTER ROLE ${grantee} BYPASSRLS, or CREATE POLICY subscription_sync ON ${table.sql} TO ${grantee} USING (true)`,
    );
  }
  return problems;
}

/** Returns how the settings or the table differ from what the service was installed for. */
async function installationProblems(
  query: Query,
  database: DatabaseName,
  settings: TableSettings,
  table: TableFacts | undefined,
): Promise<string[]> {
  const again = `or remove the service (decommission --purge) and start it again`;
  if (database === 'DB1') {
    const triggers = await query<TriggerFacts>(SELECT_TRIGGERS);
    const own = triggers.filter(({ oid }) => oid === table?.oid);
    const other = triggers.find(({ oid }) => oid !== table?.oid);
    if (other && own.length === 0) {
      return [
        `the triggers of the service are on the table ${other.table}, and DB1_TABLE is ${tableName(settings)}. Set DB1_TABLE to ${other.table}, ${again} to replicate the other table`,
      ];
    }
    const restore =
      table &&
      restoreTriggers(
        table.sql,
        own.map(({ name }) => name),
        own.filter(({ always }) => always).map(({ name }) => name),
      );
    if (restore !== undefined) {
      return [
        `triggers of the service on DB1.${settings.name} are missing or disabled, so changes are not recorded. Bring them back: ${restore}. Then start a run that compares both databases: it repairs what was missed`,
      ];
    }
  }
  const [installed] = await query<InstalledTable>(SELECT_INSTALLED_TABLE, [tableName(settings)]);
  if (!installed) return [];
  if (database === 'DB2' && installed.tableExists && table && installed.table !== table.sql) {
    return [
      `the service replicates into the table ${installed.table}, and DB2_TABLE is ${tableName(settings)}. Set DB2_TABLE to ${installed.table}, ${again} to fill the other table`,
    ];
  }
  // A column that is gone was renamed.
  if (installed.keyExists && installed.key !== settings.key) {
    return [
      `the service was installed with the key column ${installed.key} of ${tableName(settings)}, and ${database}_KEY_COLUMN is ${settings.key}. Set ${database}_KEY_COLUMN to ${installed.key}, ${again} to use the other column`,
    ];
  }
  return [];
}
