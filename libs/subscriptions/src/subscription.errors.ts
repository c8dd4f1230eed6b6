import { BadRequestException, ConflictException } from '@nestjs/common';
import { ProblemException, wrongFields } from '#http';
import { hasSqlstate, isPostgresError, isUniqueViolation, SQLSTATE } from '#postgres';
import { METADATA } from './validators.js';

export function notFound(): ProblemException {
  return new ProblemException('not-found', 'No subscription has this email');
}

export function alreadyExists(): ProblemException {
  return new ProblemException('already-exists', 'A subscription with this email already exists', {
    errors: [{ field: 'email', detail: 'is already in use', pointer: '/email' }],
  });
}

/**
 * Converts an error of DB1 into the error for the client, and returns any other error unchanged. The owner of the table may have added rules:
 * constraints (class 23), triggers that raise (P0001), columns that are narrower than the API's limits (class 22).
 */
export function toHttpError(error: unknown): unknown {
  if (!isPostgresError(error)) return error;
  const { code, message, detail, constraint } = error;
  if (isUniqueViolation(error) && detail?.startsWith('Key (email)=')) return alreadyExists();
  if (hasSqlstate(error, SQLSTATE.metadataTooLarge)) {
    const detail = `would exceed ${METADATA.keys} keys or ${METADATA.bytes} bytes after the merge`;
    return wrongFields([{ field: 'metadata', detail, pointer: '/metadata' }]);
  }
  if (isUniqueViolation(error))
    return new ConflictException(`Another row already has a value that must be unique: constraint ${constraint}`);
  if (hasSqlstate(error, SQLSTATE.integrityConstraintViolation))
    return new BadRequestException(`The database rejected the row: constraint ${constraint ?? 'NOT NULL'}`);
  if (hasSqlstate(error, SQLSTATE.dataException)) return new BadRequestException(`The database rejected a value (SQLSTATE ${code})`);
  if (hasSqlstate(error, SQLSTATE.raiseException))
    return new BadRequestException(`The database rejected the change: ${withoutEmails(message)}`);
  return error;
}

/** The message of the owner's trigger is sent to the client, which may log it. A problem never contains an email, not even the client's own. */
function withoutEmails(text: string): string {
  return text.replaceAll(/[^\s@<>()[\]"',;:]+@[^\s@<>()[\]"',;:]+/g, '(an email)');
}
