import { types } from 'node:util';
import { TLS_ERROR } from './tls-connection.js';

/** The database cannot be reached or does not answer. A later attempt may succeed. */
export class DatabaseUnavailableError extends Error {
  constructor(
    readonly database: 'db1' | 'db2',
    why: string,
    options?: ErrorOptions,
  ) {
    super(`${database} is not available: ${why}`, options);
    this.name = 'DatabaseUnavailableError';
  }
}

/**
 * The SQLSTATEs that the service tells apart, by PostgreSQL's names for them. Two characters stand for a whole class.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export const SQLSTATE = {
  connectionException: '08',
  protocolViolation: '08P01',
  featureNotSupported: '0A000',
  /** Data exception: too long, out of range, malformed, \u0000. */
  dataException: '22',
  integrityConstraintViolation: '23',
  notNullViolation: '23502',
  uniqueViolation: '23505',
  /** The server takes no writes: it is a standby. */
  readOnlyTransaction: '25006',
  invalidSqlStatementName: '26000',
  invalidAuthorization: '28',
  invalidAuthorizationSpecification: '28000',
  invalidPassword: '28P01',
  invalidCatalogName: '3D',
  databaseDoesNotExist: '3D000',
  invalidSchemaName: '3F',
  /** Rolled back because of another transaction: serialization failure, deadlock. */
  transactionRollback: '40',
  syntaxErrorOrAccessRuleViolation: '42',
  insufficientPrivilege: '42501',
  undefinedTable: '42P01',
  duplicatePreparedStatement: '42P05',
  invalidColumnReference: '42P10',
  insufficientResources: '53',
  tooManyConnections: '53300',
  configurationLimitExceeded: '53400',
  /** A value is too large for an index, or JSON is nested too deep. */
  programLimitExceeded: '54',
  objectNotInPrerequisiteState: '55000',
  lockNotAvailable: '55P03',
  operatorIntervention: '57',
  /** Class of errors that functions raise. */
  plpgsqlError: 'P0',
  /** RAISE EXCEPTION without a code of its own: a rule of the table's owner. */
  raiseException: 'P0001',
  /** Raised by our function subscription_sync.merge_metadata. */
  metadataTooLarge: 'SU001',
} as const;

/** An error that PostgreSQL sent, as pg and TypeORM pass it on. */
export interface PostgresError extends Error {
  readonly code: string;
  readonly detail?: string;
  readonly constraint?: string;
  readonly column?: string;
  readonly routine?: string;
}

/** Returns the SQLSTATE of an error that PostgreSQL sent, or undefined for other errors. */
export function sqlstateOf(error: unknown): string | undefined {
  return isPostgresError(error) ? error.code : undefined;
}

/** Whether PostgreSQL sent the error. Errors of sockets have codes too, but without a digit: EPIPE. */
export function isPostgresError(error: unknown): error is PostgresError {
  return types.isNativeError(error) && 'code' in error && typeof error.code === 'string' && /^(?=.*\d)[0-9A-Z]{5}$/.test(error.code);
}

/** Whether PostgreSQL sent an error with one of these SQLSTATEs, or of one of these classes. */
export function hasSqlstate(error: unknown, ...states: readonly string[]): error is PostgresError {
  return isPostgresError(error) && states.some((state) => error.code.startsWith(state));
}

export function isUniqueViolation(error: unknown): error is PostgresError {
  return hasSqlstate(error, SQLSTATE.uniqueViolation);
}

/** Whether PostgreSQL refuses the data of a row, and would refuse it again. */
export function isDataRefused(error: unknown): error is PostgresError {
  const { dataException, integrityConstraintViolation, programLimitExceeded, plpgsqlError } = SQLSTATE;
  return hasSqlstate(error, dataException, integrityConstraintViolation, programLimitExceeded, plpgsqlError);
}

/** Whether PostgreSQL refuses logical decoding: wal_level, privilege, no free slot, no free sender, or not supported. */
export function isLogicalDecodingRefused(error: unknown): error is PostgresError {
  return hasSqlstate(
    error,
    SQLSTATE.objectNotInPrerequisiteState,
    SQLSTATE.insufficientPrivilege,
    SQLSTATE.configurationLimitExceeded,
    SQLSTATE.tooManyConnections,
    SQLSTATE.featureNotSupported,
  );
}

/**
 * Whether a connection can no longer run a prepared statement, and did not run it: a migration has changed the types of its result
 * ("cached plan must not change result type"), or it was deallocated, as poolers do.
 */
export function isStaleStatement(error: unknown): error is PostgresError {
  if (hasSqlstate(error, SQLSTATE.invalidSqlStatementName, SQLSTATE.duplicatePreparedStatement)) return true;
  return hasSqlstate(error, SQLSTATE.featureNotSupported) && error.routine === 'RevalidateCachedQuery';
}

const SOCKET_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  TLS_ERROR,
]);
/** Errors to which pg gives no code. */
const CONNECTION_MESSAGES =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Query read timeout)/;

/** Whether an error says that the database is the problem, not the request. */
export function isUnavailable(error: unknown): boolean {
  const { connectionException, transactionRollback, insufficientResources, operatorIntervention, readOnlyTransaction } = SQLSTATE;
  if (hasSqlstate(error, connectionException, transactionRollback, insufficientResources, operatorIntervention, readOnlyTransaction))
    return true;
  if (!types.isNativeError(error)) return false;
  if ('code' in error && SOCKET_ERRORS.has(String(error.code))) return true;
  return CONNECTION_MESSAGES.test(error.message) || error.name === 'CannotExecuteNotConnectedError';
}
