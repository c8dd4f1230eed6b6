import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, type EntityManager } from 'typeorm';
import type { DatabaseSettings, PostgresTimings } from '#config';
import { APPLICATION_NAME, db1ConnectionOptions, SCHEMA } from './connection-options.js';
import { hasSqlstate, SQLSTATE } from './errors.js';
import { withSchemaLock } from './migrator.js';
import type { SessionSettings } from './session-client.js';

/** Name of the sessions that decommission the service. They are the only ones of the service that are not a sign of a running process. */
export const DECOMMISSION_NAME = `${APPLICATION_NAME}-decommission`;

/** The parts of the service in a database: its schema, and triggers on other tables that call its functions. */
export interface Installation {
  readonly hasSchema: boolean;
  /** Whether the schema is dropped too. A schema that an administrator created for a role that cannot create one is emptied and kept. */
  readonly dropsSchema: boolean;
  /** Number and total size of the tables in the schema, partitions included in their table. */
  readonly tables: { readonly count: number; readonly size: string };
  /** Triggers outside of the schema. Each table is a name as SQL spells it. */
  readonly triggers: readonly { readonly name: string; readonly table: string }[];
  /** Objects in the schema, in words and as SQL spells them: `table`, `subscription_sync.changes`. */
  readonly objects: readonly { readonly type: string; readonly identity: string }[];
}

/** A process of the service still runs, so its schema must not be removed. */
export class ServiceRunningError extends Error {
  override readonly name = 'ServiceRunningError';
}

/** Connects for {@link inspectInstallation} and {@link removeInstallation}, with one session. The caller destroys the connection. */
export function connectToRemove(settings: DatabaseSettings, timings: PostgresTimings): Promise<DataSource> {
  const options = db1ConnectionOptions({ ...(settings.direct ?? settings), poolSize: 1 }, timings);
  const { session, ...extra } = options.extra as { readonly session: SessionSettings };
  return new DataSource({ ...options, extra: { ...extra, session: { ...session, application_name: DECOMMISSION_NAME } } }).initialize();
}

/**
 * Waits until no session of the service is left in the database: those of a process that has just been stopped are about to end.
 * @throws ServiceRunningError when there still is one after `timeoutMs`.
 */
export async function waitUntilStopped(dataSource: DataSource, timeoutMs: number, pollMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const [{ sessions }] = await dataSource.query<[{ sessions: string | null }]>(SELECT_SESSIONS, [APPLICATION_NAME, DECOMMISSION_NAME]);
    if (sessions === null) return;
    if (performance.now() > deadline) {
      throw new ServiceRunningError(
        `The service is still connected to this database, by ${sessions}: stop all its processes first, and then try again`,
      );
    }
    await delay(pollMs);
  }
}

const SELECT_SESSIONS = `
SELECT string_agg(format('pid %s (%s)', pid, application_name), ', ' ORDER BY pid) AS sessions
FROM pg_stat_activity
WHERE datname = current_database() AND starts_with(application_name, $1) AND application_name <> $2`;

/**
 * Returns what of the service is in the database.
 * @throws Error when something else would be lost with it: an object of another program that depends on the schema, or a user's table in it.
 */
export async function inspectInstallation(manager: EntityManager): Promise<Installation> {
  const [found] =
    await manager.query<[Installation & { readonly dependants: string[]; readonly misplaced: string | null }]>(SELECT_INSTALLATION);
  const { dependants, misplaced, ...installation } = found;
  if (misplaced !== null) {
    throw new Error(
      `The table ${misplaced} is in the schema ${SCHEMA} and would be lost with it. Move it first, for example: ALTER TABLE ${misplaced} SET SCHEMA public`,
    );
  }
  if (dependants.length > 0) {
    throw new Error(`Other objects depend on the schema ${SCHEMA}: ${dependants.join(', ')}. Drop or change them first`);
  }
  return installation;
}

/**
 * `inside` has the objects of the schema and their parts, such as indexes, constraints and row types. What depends on one of them and is not
 * inside belongs to another program, apart from triggers that call the service's functions. Dropping the objects of the schema drops those.
 */
const SELECT_INSTALLATION = `
WITH RECURSIVE home AS (
  SELECT oid, pg_has_role(nspowner, 'USAGE') AND has_database_privilege(current_database(), 'CREATE') AS drops
  FROM pg_namespace WHERE nspname = '${SCHEMA}'
), inside(classid, objid) AS (
  SELECT d.classid, d.objid FROM pg_depend d JOIN home ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = home.oid
  UNION
  SELECT d.classid, d.objid FROM inside i JOIN pg_depend d ON d.refclassid = i.classid AND d.refobjid = i.objid
  WHERE d.deptype IN ('i', 'a', 'P', 'S')
), triggers AS (
  SELECT t.oid, t.tgname AS name, t.tgrelid AS relation, t.tgrelid::regclass::text AS "table", t.tgparentid <> 0 AS cloned
  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN home ON home.oid = p.pronamespace
), objects AS (
  SELECT o.type, o.identity
  FROM home JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = home.oid AND d.deptype = 'n',
    pg_identify_object(d.classid, d.objid, 0) o
  WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
), dependants AS (
  SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) AS name
  FROM inside i JOIN pg_depend d ON d.refclassid = i.classid AND d.refobjid = i.objid AND d.deptype = 'n'
  WHERE (d.classid, d.objid) NOT IN (SELECT classid, objid FROM inside)
    AND NOT (d.classid = 'pg_trigger'::regclass AND d.objid IN (SELECT oid FROM triggers))
)
SELECT EXISTS (SELECT FROM home) AS "hasSchema",
  coalesce((SELECT drops FROM home), false) AS "dropsSchema",
  (SELECT json_build_object('count', count(*) FILTER (WHERE NOT c.relispartition), 'size', pg_size_pretty(coalesce(sum(pg_total_relation_size(c.oid)), 0)))
   FROM pg_class c JOIN home ON home.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')) AS tables,
  (SELECT coalesce(json_agg(json_build_object('name', name, 'table', "table") ORDER BY name), '[]') FROM triggers WHERE NOT cloned) AS triggers,
  (SELECT coalesce(json_agg(json_build_object('type', type, 'identity', identity) ORDER BY type DESC, identity), '[]') FROM objects) AS objects,
  (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM dependants) AS dependants,
  (SELECT min(c.oid::regclass::text) FROM pg_class c JOIN home ON home.oid = c.relnamespace
   WHERE c.relname = 'subscriptions' OR c.oid IN (SELECT relation FROM triggers)) AS misplaced`;

/** The server's lock_timeout while everything is dropped. Other programs' writes wait for as long, so an attempt is short and is repeated. */
const LOCK_TIMEOUT = '2s';
/** Pause (ms) between two attempts, in which the writes that waited proceed. */
const LOCK_RETRY_MS = 500;

/**
 * Drops the service's schema with everything in it, and its triggers, in one transaction. Users' tables keep all else.
 * @returns what was dropped, in words.
 * @throws Error that names the sessions that hold a lock, when it was not granted within `timeoutMs`; nothing was dropped then.
 */
export async function removeInstallation(dataSource: DataSource, timeoutMs: number): Promise<string[]> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await withSchemaLock(dataSource, dropEverything);
    } catch (error) {
      if (!hasSqlstate(error, SQLSTATE.lockNotAvailable, SQLSTATE.transactionRollback)) throw error;
      if (performance.now() > deadline) throw await lockedError(dataSource, error);
      await delay(LOCK_RETRY_MS);
    }
  }
}

/**
 * The tables with triggers are locked first, as writers do: a writer that waits for the change log while it holds its row's table would end
 * in a deadlock. Dropping a trigger's function drops the trigger, which does not need the ownership of the table.
 */
async function dropEverything(manager: EntityManager): Promise<string[]> {
  await manager.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
  const { hasSchema, dropsSchema, triggers, objects } = await inspectInstallation(manager);
  if (!hasSchema) return [];
  for (const table of new Set(triggers.map((trigger) => trigger.table)))
    await manager.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  // An object may be gone with an earlier one: a partition with its table.
  for (const { type, identity } of objects) await manager.query(`DROP ${type} IF EXISTS ${identity} CASCADE`);
  if (dropsSchema) await manager.query(`DROP SCHEMA ${SCHEMA}`);
  return [
    ...triggers.map(({ name, table }) => `trigger ${name} on ${table}`),
    ...objects.map(({ type, identity }) => `${type} ${identity}`),
    ...(dropsSchema ? [`schema ${SCHEMA}`] : []),
  ];
}

async function lockedError(dataSource: DataSource, cause: Error): Promise<Error> {
  const [{ holders }] = await dataSource.query<[{ holders: string | null }]>(SELECT_LOCK_HOLDERS);
  return new Error(`A table is locked by ${holders ?? 'another session'}. End that transaction, and then try again`, { cause });
}

/** Dropping conflicts with every lock on a table, so each other session that has one is in the way. */
const SELECT_LOCK_HOLDERS = `
SELECT string_agg(DISTINCT coalesce(
    format('pid %s (%s, user %s, transaction since %s)', a.pid, coalesce(nullif(a.application_name, ''), 'without application_name'), a.usename,
      to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS')),
    'a prepared transaction (pg_prepared_xacts)'), ', ') AS holders
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (c.relnamespace = to_regnamespace('${SCHEMA}') OR c.oid IN (
    SELECT t.tgrelid FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE p.pronamespace = to_regnamespace('${SCHEMA}')))`;
