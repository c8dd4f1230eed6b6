import { createHash } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { type Query, queryOf, withSchemaLock } from '#postgres';

/** Functions of a database, in the order of their installation. */
export interface FunctionSet {
  readonly statements: readonly string[];
  /** The function whose comment holds the hash of all of them, with the types of its parameters. */
  readonly marked: string;
}

/** Installs the functions, or replaces those that are there. */
export async function installFunctions(query: Query, functions: FunctionSet): Promise<void> {
  for (const statement of functions.statements) await query(statement);
  await query(REVOKE_FROM_PUBLIC);
  await query(`COMMENT ON FUNCTION ${functions.marked} IS '${fingerprint(functions)}'`);
}

/**
 * Leaves the functions to their owner and to the roles of deploy/sql. A trigger's function stays everybody's: PostgreSQL asks for that
 * privilege when the owner of a partitioned table adds a partition, which gets the triggers. It cannot be called otherwise.
 *
 * A function that a later release adds may have another owner than the triggers' functions, which call it: a member of that role.
 */
const REVOKE_FROM_PUBLIC = `
DO $$
DECLARE
  callable regprocedure;
  installer regrole := (SELECT relowner FROM pg_class WHERE oid = 'subscription_sync.installation'::regclass);
BEGIN
  FOR callable IN
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'subscription_sync'::regnamespace AND p.prorettype <> 'trigger'::regtype AND pg_has_role(p.proowner, 'USAGE')
      AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', callable);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', callable, installer);
  END LOOP;
END $$`;

/**
 * Installs the functions again if those in the database do not match this release and the table's current columns. Runs at every start. A
 * column that was added since then appears in `previous` from now on; the image of a row always has all columns.
 */
export async function refreshFunctions(dataSource: DataSource, functions: FunctionSet): Promise<void> {
  const [installed] = await dataSource.query<[{ hash: string | null }]>(
    `SELECT obj_description(to_regprocedure('${functions.marked}'), 'pg_proc') AS hash`,
  );
  if (installed.hash === fingerprint(functions)) return;
  await withSchemaLock(dataSource, (manager) => installFunctions(queryOf(manager), functions));
}

function fingerprint({ statements }: FunctionSet): string {
  return createHash('sha256').update(statements.join('\n')).digest('hex');
}

/**
 * `subscription_sync.read_value` returns the text of a value as the replica reads it into a type (libs/replica, apply-statement): JSON that a
 * row's image has, or its own text if the type refuses it, so that a comparison reports the row and goes on.
 */
export const CREATE_READ_VALUE = `
CREATE OR REPLACE FUNCTION subscription_sync.read_value(value json, type text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  found text;
BEGIN
  EXECUTE format('SELECT r.v::text FROM json_to_record(json_build_object(''v'', $1)) AS r (v %s)', type) INTO found USING value;
  RETURN found;
EXCEPTION WHEN OTHERS THEN
  RETURN value;
END $$`;
