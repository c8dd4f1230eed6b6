import type { Query } from './client.js';

/**
 * The search_path of the service's sessions. A role that may create objects in another schema of the path could give an operator or a function
 * the types of a statement more exactly than pg_catalog's has them, and the statement would call it with the service's rights. So all names
 * of other schemas are qualified.
 */
export const PINNED_SEARCH_PATH = 'pg_catalog, pg_temp';

/**
 * SQL expression that gives the rest of the transaction the search_path of the service's role, as ALTER ROLE and the server's configuration have
 * it. Users' own triggers rely on that path. A statement that writes their table evaluates this before it writes the first row, but after
 * PostgreSQL has looked up the names in the statement itself.
 */
export const ENTER_ROLE_PATH = `pg_catalog.set_config('search_path', NULL, true)`;

/** SQL expression that goes back to the service's own search_path for the rest of the transaction. */
export const LEAVE_ROLE_PATH = `pg_catalog.set_config('search_path', '${PINNED_SEARCH_PATH}', true)`;

/** What a role finds by names without a schema. */
interface RoleView {
  /** The existing schemas of the role's search_path. */
  readonly schemas: readonly string[];
  /** The relation with its schema, as SQL; null if there is none. */
  readonly relation: string | null;
}

const SELECT_ROLE_VIEW = `
WITH entered AS MATERIALIZED (SELECT ${ENTER_ROLE_PATH}),
found AS MATERIALIZED (SELECT current_schemas(false)::text[] AS schemas, to_regclass($1)::oid AS oid FROM entered)
SELECT f.schemas, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS relation, ${LEAVE_ROLE_PATH} AS left
FROM found f LEFT JOIN pg_class c ON c.oid = f.oid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace`;

/** Looks up a relation, whose name is SQL, by the search_path of the service's role. */
export async function viewByRole(query: Query, name: string): Promise<RoleView> {
  const [view] = await query<RoleView>(SELECT_ROLE_VIEW, [name]);
  return view!;
}
