import { BadEventError } from '#events';
import { hasSqlstate, isDataRefused, SQLSTATE } from '#postgres';
import { SchemaDriftError } from './replicated-columns.js';

/**
 * How to react to an error of applying a batch:
 * - `dead-letter`: the record itself is refused, now and later; its neighbours may be fine. `errorClass` is stored with it.
 * - `stop`: nothing can be applied until an operator repairs something. `remedy` says what.
 * - `retry`: it may succeed later.
 */
export type FailureAction =
  | { readonly action: 'dead-letter'; readonly errorClass: string }
  | { readonly action: 'stop'; readonly remedy: string }
  | { readonly action: 'retry' };

/** SQLSTATEs that persist until an operator acts; longer prefixes come first. */
const REMEDIES: readonly (readonly [state: string, remedy: string])[] = [
  [
    SQLSTATE.insufficientPrivilege,
    'grant the role of DB2_USER SELECT, INSERT, UPDATE and DELETE on the table of DB2_TABLE and on the tables of the schema subscription_sync',
  ],
  [SQLSTATE.invalidColumnReference, 'create the unique index on the email of the table of DB2_TABLE again'],
  [SQLSTATE.invalidAuthorization, 'correct DB2_USER and DB2_PASSWORD, or allow the role in pg_hba.conf'],
  [SQLSTATE.invalidCatalogName, 'create the database that DB2_DATABASE names, or correct it'],
  [SQLSTATE.invalidSchemaName, "create the schema that held the replica's tables again, or correct the role's search_path"],
  [
    SQLSTATE.syntaxErrorOrAccessRuleViolation,
    "restore the replica's tables to the state that its migrations created, or restart the service to create them",
  ],
];

/**
 * The failure policy of the replica, for errors of decoding, of pg and of PostgreSQL. Unknown errors are retried: a retry only costs
 * time, a wrong dead letter loses a change.
 *
 * Therefore 40P01 and all of class 40 (rolled back because of another transaction), 08, 53, 55, 57, 58, 25006 (a standby) and errors
 * without a code (sockets) are retried.
 */
export function classifyError(error: unknown): FailureAction {
  if (error instanceof BadEventError) return { action: 'dead-letter', errorClass: error.errorClass };
  if (error instanceof SchemaDriftError) return { action: 'stop', remedy: error.remedy };
  if (isDataRefused(error)) return { action: 'dead-letter', errorClass: error.code };
  const remedy = REMEDIES.find(([state]) => hasSqlstate(error, state))?.[1];
  return remedy === undefined ? { action: 'retry' } : { action: 'stop', remedy };
}
