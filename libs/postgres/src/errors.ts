import { types } from 'node:util';

/** The database can't be asked now. Trying again later may work. */
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

/** Connection exceptions (08), rolled back for another's sake (40), insufficient resources (53), operator intervention (57), and a server that takes no writes (25006). */
const SQLSTATES = /^(08|40|53|57)|^25006$/;
const SOCKET_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** pg gives these no code. */
const MESSAGES =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Query read timeout)/;

/** Whether an error says that the database, not the request, is the problem. */
export function isUnavailable(error: unknown): boolean {
  if (!types.isNativeError(error)) return false;
  if ('code' in error && typeof error.code === 'string' && (SQLSTATES.test(error.code) || SOCKET_ERRORS.has(error.code))) return true;
  return MESSAGES.test(error.message) || error.name === 'CannotExecuteNotConnectedError';
}
