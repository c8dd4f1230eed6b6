import { BadRequestException, ConflictException } from '@nestjs/common';
import { BUSINESS_COLUMN_LIST } from '#events';
import { ProblemException, wrongFields } from '#http';
import { hasSqlstate, isPostgresError, isUniqueViolation, SQLSTATE } from '#postgres';
import { METADATA } from './validators.js';

/** Matches emails whose domain has two spellings, with letters beyond ASCII and in Punycode (`xn--`). They are two emails (ADR 29). */
const INTERNATIONALISED = /@.*(xn--|[^ -~])/i;

export function notFound(email: string): ProblemException {
  const hint = INTERNATIONALISED.test(email) ? '. It is compared as it is spelled: the other spelling of its domain is another email' : '';
  return new ProblemException('not-found', `No subscription has this email${hint}`);
}

export function alreadyExists(): ProblemException {
  return new ProblemException('already-exists', 'A subscription with this email already exists', {
    errors: [{ field: 'email', detail: 'is already in use', pointer: '/email' }],
  });
}

/** The rule that a field breaks which the table lacks or computes itself. */
export function notWritable(table: string): string {
  return `is not a column of ${table} that the API can set`;
}

/**
 * Converts an error of DB1 into the error for the client, and returns any other error unchanged. The owner of the table may have added rules:
 * constraints (class 23), triggers that raise (P0001), columns that are narrower than the API's limits (class 22).
 */
export function toHttpError(error: unknown, keyColumn = 'email'): unknown {
  if (!isPostgresError(error)) return error;
  const { code, message, detail, constraint, column } = error;
  if (isUniqueViolation(error) && detail?.startsWith(`Key (${keyColumn})=`)) return alreadyExists();
  if (hasSqlstate(error, SQLSTATE.metadataTooLarge)) {
    const detail = `would exceed ${METADATA.keys} keys or ${METADATA.bytes} bytes after the merge`;
    return wrongFields([{ field: 'metadata', detail, pointer: '/metadata' }]);
  }
  if (isUniqueViolation(error))
    return new ConflictException(`Another row already has a value that must be unique: constraint ${constraint}`);
  if (hasSqlstate(error, SQLSTATE.notNullViolation) && column !== undefined) return missingValue(column);
  if (hasSqlstate(error, SQLSTATE.integrityConstraintViolation))
    return new BadRequestException(`The database rejected the row: constraint ${constraint ?? 'NOT NULL'}`);
  if (hasSqlstate(error, SQLSTATE.dataException)) return new BadRequestException(`The database rejected a value (SQLSTATE ${code})`);
  if (hasSqlstate(error, SQLSTATE.raiseException))
    return new BadRequestException(`The database rejected the change: ${withoutEmails(message)}`);
  return error;
}

function missingValue(column: string): ProblemException {
  const errors = isField(column) ? [{ field: column, detail: 'must not be null', pointer: `/${column}` }] : [];
  return wrongFields(errors, `The database rejected the row: ${missingColumn(column)}`);
}

/** Tells that a column must have a value, and where the value can come from. */
export function missingColumn(column: string): string {
  const remedy = isField(column) ? 'set it' : 'the API cannot set it, so the table must give it a default';
  return `column ${column} must have a value: ${remedy}`;
}

function isField(column: string): boolean {
  return BUSINESS_COLUMN_LIST.some(([name]) => name === column);
}

/** The message of the owner's trigger is sent to the client, which may log it. A problem never contains an email, not even the client's own. */
function withoutEmails(text: string): string {
  return text.replaceAll(/[^\s@<>()[\]"',;:]+@[^\s@<>()[\]"',;:]+/g, '(an email)');
}
