import { BadEventError } from '#events';
import { hasSqlstate, isDataRefused, SQLSTATE } from '#postgres';
import { SchemaDriftError } from './replica-table.js';

/**
 * What an error of applying means:
 * - `dead-letter`: the record itself is refused, and will be; its neighbours may be fine. `errorClass` is stored with it.
 * - `stop`: nothing can be applied before a person mends something. `remedy` says what.
 * - `retry`: it may work later.
 */
export type FailureAction =
  | { readonly action: 'dead-letter'; readonly errorClass: string }
  | { readonly action: 'stop'; readonly remedy: string }
  | { readonly action: 'retry' };

/** SQLSTATEs that stay until somebody acts, the longest prefix first. */
const REMEDIES: readonly (readonly [state: string, remedy: string])[] = [
  [SQLSTATE.insufficientPrivilege, 'grant the role of DB2_USER INSERT, UPDATE and SELECT on the tables of the replica'],
  [SQLSTATE.invalidColumnReference, 'make a unique index on replicated_subscriptions (email) again'],
  [SQLSTATE.invalidAuthorization, 'correct DB2_USER and DB2_PASSWORD, or allow the role in pg_hba.conf'],
  [SQLSTATE.invalidCatalogName, 'create the database that DB2_DATABASE names, or correct it'],
  [SQLSTATE.invalidSchemaName, "create the schema in which the replica's tables were, or correct the role's search_path"],
  [
    SQLSTATE.syntaxErrorOrAccessRuleViolation,
    "bring the replica's tables back to what its migrations made, or restart the service to have them made",
  ],
];

/**
 * The failure policy of the replica, for errors of decoding, of pg and of PostgreSQL. Whatever is not known is tried again:
 * waiting costs time, a wrong dead letter costs a change.
 *
 * 40P01 and all of 40 (rolled back for another's sake), 08, 53, 55, 57, 58, 25006 (a standby) and errors without a code
 * (sockets) are therefore retried.
 */
export function classifyError(error: unknown): FailureAction {
  if (error instanceof BadEventError) return { action: 'dead-letter', errorClass: error.errorClass };
  if (error instanceof SchemaDriftError) return { action: 'stop', remedy: error.remedy };
  if (isDataRefused(error)) return { action: 'dead-letter', errorClass: error.code };
  const remedy = REMEDIES.find(([state]) => hasSqlstate(error, state))?.[1];
  return remedy === undefined ? { action: 'retry' } : { action: 'stop', remedy };
}

/** Whether PostgreSQL refuses what is in a row, and would again. */
export function isRefusedData(error: unknown): boolean {
  return classifyError(error).action === 'dead-letter';
}
