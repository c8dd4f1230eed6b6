import { escapeIdentifier } from 'pg';
import type { MappingSettings, Role, TableSettings } from '#config';
import { STATUSES } from '#events';
import { locateTable, type Query, tableLabel, tableName, viewByRole } from '#postgres';
import { restoreTriggers } from './db1/triggers.js';
import { type EarlierVersion, findEarlierVersion, upgradeProblems } from './earlier-version.js';
import {
  type DatabaseFacts,
  type InstalledTable,
  SELECT_DATABASE_FACTS,
  SELECT_INSTALLED_TABLE,
  SELECT_TABLE_FACTS,
  SELECT_TRIGGERS,
  type TableFacts,
  type TriggerFacts,
} from './fit-facts.js';
import { DB1_MIGRATIONS, DB2_MIGRATIONS } from './migrations.js';
import { roleProblems, tablePrivileges } from './role-privileges.js';

/** Versions of PostgreSQL. A newer one may have types and triggers of kinds that the service does not know. */
const OLDEST_VERSION = 14;
const NEWEST_VERSION = 18;

type DatabaseName = 'DB1' | 'DB2';

type StatusSettings = Pick<MappingSettings, 'statuses' | 'transitionsFile'>;

/** Settings on which the check depends besides the table. */
export interface FitOptions {
  /** Settings of the statuses, which are those of DB1. */
  readonly statuses?: StatusSettings | undefined;
  /** The roles whose privileges the user needs once the service is installed; without them, the user has to be able to install it. */
  readonly roles?: readonly Role[] | undefined;
}

/**
 * Checks, before anything is changed and at every start, that the service can work with a database. It only reads.
 * @throws Error that lists what is wrong, one line each, with the statement or the setting that corrects it.
 */
export async function expectFit(query: Query, database: DatabaseName, table: TableSettings, options: FitOptions = {}): Promise<void> {
  const { schemas } = await viewByRole(query, tableName({ ...table, schema: undefined }));
  const [facts] = await query<DatabaseFacts>(SELECT_DATABASE_FACTS, [schemas]);
  const migrations = (database === 'DB1' ? DB1_MIGRATIONS : DB2_MIGRATIONS).map((migration) => migration(table).name);
  const problems = [
    ...databaseProblems(database, facts!),
    ...(await tableProblems(query, database, table, facts!, options)),
    ...(facts!.installed && facts!.uses && options.roles ? await roleProblems(query, database, options.roles, migrations) : []),
  ];
  if (problems.length > 0) throw new Error(problems.join('\n'));
}

/** The other way for a role that may not install the service. */
const BY_OWNER = '; or let the owner of the database install the service: npx subscription-sync migrate';

function databaseProblems(database: DatabaseName, facts: DatabaseFacts): string[] {
  const { version, encoding, standby, role } = facts;
  const problems: string[] = [];
  const major = Math.floor(version / 10_000);
  if (major < OLDEST_VERSION) problems.push(`${database} is PostgreSQL ${major}; version ${OLDEST_VERSION} or newer is needed`);
  if (major > NEWEST_VERSION) {
    problems.push(
      `${database} is PostgreSQL ${major}; versions ${OLDEST_VERSION} to ${NEWEST_VERSION} are supported. Use one of these, or a release of subscription-sync that supports ${major}`,
    );
  }
  if (encoding !== 'UTF8') {
    problems.push(
      `${database} has the encoding ${encoding}, which cannot hold every email; UTF8 is needed. Create a database with ENCODING 'UTF8', and restore a dump of this one into it`,
    );
  }
  if (standby) problems.push(`${database} is a standby, which nothing can be written to. Connect to the primary, or promote this server`);
  const grantee = escapeIdentifier(role);
  if (!facts.schema && !facts.creates) {
    problems.push(
      `permission denied for database ${facts.database}: the role ${role} may not create the schema subscription_sync. Create it: CREATE SCHEMA subscription_sync AUTHORIZATION ${grantee}${BY_OWNER}`,
    );
  }
  if (facts.schema && facts.installed && !facts.uses) {
    problems.push(
      `permission denied for schema subscription_sync: the role ${role} may not use it. Run deploy/sql/${database.toLowerCase()}-roles.sql, or GRANT USAGE, CREATE ON SCHEMA subscription_sync TO ${grantee}`,
    );
  }
  if (facts.schema && !facts.installed && !(facts.uses && facts.fills)) {
    problems.push(
      `permission denied for schema subscription_sync: the role ${role} may not create tables in it. GRANT USAGE, CREATE ON SCHEMA subscription_sync TO ${grantee}${BY_OWNER}`,
    );
  }
  return problems;
}

async function tableProblems(
  query: Query,
  database: DatabaseName,
  settings: TableSettings,
  facts: DatabaseFacts,
  { statuses, roles }: FitOptions,
): Promise<string[]> {
  const name = (await locateTable(query, settings)) ?? tableName(settings);
  const label = tableLabel(database, settings);
  const isInstalled = facts.installed && facts.uses;
  const earlier = facts.installed ? undefined : await findEarlierVersion(query, database);
  if (earlier && differsFromEarlier(settings, earlier)) {
    return [
      `${database} has the tables of version 0.1, which is upgraded with its own table only. Take ${database}_TABLE, ${database}_KEY_COLUMN and ${database}_STATUS_COLUMN out of the settings`,
    ];
  }
  const [table] = await query<TableFacts>(SELECT_TABLE_FACTS, [
    earlier?.table ?? name,
    settings.key,
    settings.status,
    tablePrivileges(database, isInstalled ? roles : undefined),
  ]);
  const moved = isInstalled ? await installationProblems(query, database, settings, name, table) : [];
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
  if (table.schema === 'subscription_sync') {
    return [
      `${label} is in the schema subscription_sync, which is the service's own and is dropped with all its tables when the service is removed (decommission --purge). Set ${database}_TABLE to a table of another schema`,
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
      `must be owner of table ${settings.name}: ${label} belongs to ${table.owner}, and only its owner can give it triggers that always fire. GRANT ${escapeIdentifier(table.owner)} TO ${escapeIdentifier(facts.role)}${BY_OWNER}`,
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

function privilegeProblems(label: string, { role }: DatabaseFacts, table: TableFacts): string[] {
  const problems: string[] = [];
  const { lacking } = table;
  const grantee = escapeIdentifier(role);
  if (lacking !== null)
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
  name: string,
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
  const [installed] = await query<InstalledTable>(SELECT_INSTALLED_TABLE, [name]);
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
