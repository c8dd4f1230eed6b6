import type { Role } from '#config';
import type { Query } from '#postgres';

type DatabaseName = 'DB1' | 'DB2';

/** The privileges of a role of the service in a database. A privilege is one word, or a word and the columns for which it is given. */
export interface RolePrivileges {
  /** Privileges on the users' table. */
  readonly table: readonly string[];
  /** Privileges on tables and sequences of the schema subscription_sync. */
  readonly relations: Readonly<Record<string, readonly string[]>>;
  /** Functions of that schema that the role may call. */
  readonly functions: readonly string[];
}

/** Each process reads them at its start: what has been installed, and for which table. */
const READ_AT_START = { installation: ['SELECT'], migrations: ['SELECT'] };
/** Columns of the audit log that a process writes. It does not choose the id, the time and the database's user. */
const RECORD_ACTS = 'INSERT (actor, address, request_id, action, target, details)';
const READ_AND_WRITE = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];

/**
 * The privileges of the three roles (ADR 30). deploy/sql grants them, and test/connecting/database-roles.spec.ts compares both with what a
 * database says about each table, column, sequence and function of the schema, so that a new one needs a decision here.
 */
export const ROLE_PRIVILEGES: Readonly<Record<DatabaseName, Readonly<Partial<Record<Role, RolePrivileges>>>>> = {
  DB1: {
    api: {
      table: READ_AND_WRITE,
      relations: {
        ...READ_AT_START,
        changes: ['SELECT'],
        pruned_changes: ['SELECT'],
        log_horizon: ['SELECT'],
        checkpoint: ['SELECT'],
        idempotency_keys: READ_AND_WRITE,
        imports: READ_AND_WRITE,
        erasures: ['SELECT', 'INSERT', 'UPDATE'],
        api_keys: ['SELECT', 'INSERT', 'UPDATE (expires_at, revoked_at, last_used_at, replaced_by)'],
        rate_limits: READ_AND_WRITE,
        audit: ['SELECT', RECORD_ACTS],
        unpublishable_changes: ['SELECT (version, error)'],
        reconciliation_runs: ['SELECT (id, finished_at)'],
        reconciliation_differences: ['SELECT (run, email, state, version_in_db1, version_in_db2)'],
      },
      functions: [
        'normalize_email(text)',
        'written_key(text)',
        'existing_key(text)',
        'newest_version(text)',
        'transition_allowed(text, text, boolean)',
        'set_context(jsonb)',
        'merge_patch(jsonb, jsonb)',
        'merge_metadata(jsonb, jsonb, jsonb)',
        'write(text, text, jsonb, jsonb, text[], text[])',
        'import_rows(jsonb, jsonb)',
        'prune_audit(integer)',
      ],
    },
    sync: {
      table: ['SELECT'],
      relations: {
        ...READ_AT_START,
        installation: ['SELECT', 'UPDATE (rows_recorded, rows_copied)'],
        version: ['SELECT', 'USAGE', 'UPDATE'],
        changes: ['SELECT'],
        pruned_changes: ['SELECT', 'INSERT', 'UPDATE'],
        checkpoint: ['SELECT', 'INSERT', 'UPDATE'],
        unpublishable_changes: ['SELECT', 'INSERT', 'DELETE'],
        row_keys: ['SELECT', 'INSERT', 'DELETE'],
        reconciliation_runs: READ_AND_WRITE,
        reconciliation_differences: READ_AND_WRITE,
        erasures: ['SELECT', 'UPDATE (email, email_hash, version, erased_at, kafka, completed_at)'],
        api_keys: [
          'SELECT (id, name, hash, scopes, expires_at, revoked_at, last_used_at, created_in_open_mode, kept_at)',
          'UPDATE (last_used_at)',
        ],
        rate_limits: READ_AND_WRITE,
        audit: [RECORD_ACTS],
      },
      functions: [
        'normalize_email(text)',
        'written_key(text)',
        'existing_key(text)',
        'newest_version(text)',
        'read_value(json, text)',
        'read_image(text)',
        'append_change(text, text, text, text, boolean, bigint)',
        'append_row(text, text)',
        'lock_rows(text[])',
        'create_partition(date)',
        'drop_partition(date)',
        'create_publication()',
        'analyze_row_keys()',
        'erase_changes(text, bigint, boolean)',
        'prune_audit(integer)',
      ],
    },
  },
  DB2: {
    api: {
      table: ['SELECT'],
      relations: {
        ...READ_AT_START,
        applied: ['SELECT'],
        positions: ['SELECT'],
        dead_letters: ['SELECT (id, topic, partition, offset, key, value, error_class, state)'],
      },
      functions: [],
    },
    sync: {
      table: ['SELECT', 'INSERT', 'UPDATE'],
      relations: {
        ...READ_AT_START,
        applied: READ_AND_WRITE,
        positions: ['SELECT', 'UPDATE'],
        applied_lately: ['SELECT', 'UPDATE (slot)', 'DELETE'],
        captured: READ_AND_WRITE,
        dead_letters: ['SELECT (key, value, created_at, state)', 'UPDATE (key, value, state, changed_at)'],
        row_keys: ['SELECT', 'INSERT', 'DELETE'],
      },
      functions: ['read_value(json, text)', 'delete_rows(anyarray)', 'analyze_row_keys()'],
    },
    replica: {
      table: READ_AND_WRITE,
      relations: {
        ...READ_AT_START,
        applied: ['SELECT', 'INSERT', 'UPDATE'],
        positions: ['SELECT', 'INSERT', 'UPDATE'],
        applied_lately: ['SELECT', 'INSERT', 'UPDATE'],
        dead_letters: ['SELECT', 'INSERT', 'UPDATE (error, state, redrives, changed_at)'],
      },
      functions: ['delete_rows(anyarray)'],
    },
  },
};

/** Returns what roles need on the users' table; a role that installs the service needs everything. */
export function tablePrivileges(database: DatabaseName, roles: readonly Role[] | undefined): readonly string[] {
  const needed = roles?.flatMap((role) => ROLE_PRIVILEGES[database][role]?.table ?? []);
  return needed ? READ_AND_WRITE.filter((privilege) => needed.includes(privilege)) : READ_AND_WRITE;
}

interface OwnerFacts {
  readonly role: string;
  readonly owner: string;
  readonly owns: boolean;
  /** Whether the role may read which migrations have been made. */
  readonly knows: boolean;
}

const SELECT_OWNER = `
SELECT current_user::text AS role, pg_get_userbyid(c.relowner)::text AS owner, pg_has_role(c.relowner, 'USAGE') AS owns,
  coalesce(has_table_privilege(to_regclass('subscription_sync.migrations')::oid, 'SELECT'), false) AS knows
FROM pg_class c WHERE c.oid = 'subscription_sync.installation'::regclass`;

const SELECT_LACKING = `
SELECT DISTINCT r.privilege, r.object
FROM json_to_recordset($1) AS r (kind text, object text, privilege text, columns text[])
WHERE NOT coalesce(CASE
  WHEN r.kind = 'function' THEN has_function_privilege(to_regprocedure('subscription_sync.' || r.object)::oid, r.privilege)
  WHEN r.kind = 'sequence' THEN has_sequence_privilege(to_regclass('subscription_sync.' || r.object)::oid, r.privilege)
  WHEN r.columns IS NULL THEN has_table_privilege(to_regclass('subscription_sync.' || r.object)::oid, r.privilege)
  ELSE (SELECT bool_and(has_column_privilege(to_regclass('subscription_sync.' || r.object)::oid, c, r.privilege)) FROM unnest(r.columns) c)
END, true)
ORDER BY 2, 1`;

/**
 * Returns why a process whose user does not own the service's schema cannot work with it: the schema is older than this release, or the user
 * lacks privileges of the process's roles. The check of a database (fit.ts) calls it for an installed one.
 */
export async function roleProblems(
  query: Query,
  database: DatabaseName,
  roles: readonly Role[],
  migrations: readonly string[],
): Promise<string[]> {
  const [facts] = await query<OwnerFacts>(SELECT_OWNER);
  if (facts!.owns) return [];
  if (facts!.knows) {
    const made = (await query<{ name: string }>('SELECT name FROM subscription_sync.migrations')).map(({ name }) => name);
    if (migrations.some((name) => !made.includes(name))) return [outdated(database, facts!, 'is of an earlier release')];
  }
  const lacking = await query<{ privilege: string; object: string }>(SELECT_LACKING, [JSON.stringify(neededBy(database, roles))]);
  if (lacking.length === 0) return [];
  const list = lacking.map(({ privilege, object }) => `${privilege} on ${object}`).join(', ');
  return [
    `permission denied in the schema subscription_sync of ${database}: the role ${facts!.role} lacks ${list}, for ROLES=${roles.join(',')}. ` +
      `Its owner ${facts!.owner} has to run deploy/sql/${database.toLowerCase()}-roles.sql of this release`,
  ];
}

/** Returns the error of a process whose user may not bring the functions up to date: `cause`, with which PostgreSQL refused it, if the user owns them. */
export async function outdatedError(query: Query, database: DatabaseName, cause: Error): Promise<Error> {
  const [facts] = await query<OwnerFacts>(SELECT_OWNER);
  if (facts!.owns) return cause;
  return new Error(outdated(database, facts!, "is not made for this release, these settings and the table's columns"), { cause });
}

function outdated(database: DatabaseName, { role, owner }: OwnerFacts, why: string): string {
  return (
    `the schema subscription_sync of ${database} ${why}, and the role ${role} may not change it. ` +
    `Its owner ${owner} has to bring it up to date, with this release and these settings: npx subscription-sync migrate`
  );
}

interface NeededPrivilege {
  readonly kind: 'function' | 'sequence' | 'table';
  readonly object: string;
  readonly privilege: string;
  readonly columns: readonly string[] | null;
}

function neededBy(database: DatabaseName, roles: readonly Role[]): NeededPrivilege[] {
  return roles.flatMap((role) => {
    const { relations = {}, functions = [] } = ROLE_PRIVILEGES[database][role] ?? {};
    return [
      ...Object.entries(relations).flatMap(([object, privileges]) => privileges.map((text) => neededRelation(object, text))),
      ...functions.map((object) => ({ kind: 'function', object, privilege: 'EXECUTE', columns: null }) as const),
    ];
  });
}

function neededRelation(object: string, text: string): NeededPrivilege {
  const [, privilege, columns] = /^(\w+)(?: \((.*)\))?$/.exec(text)!;
  return { kind: object === 'version' ? 'sequence' : 'table', object, privilege: privilege!, columns: columns?.split(', ') ?? null };
}
