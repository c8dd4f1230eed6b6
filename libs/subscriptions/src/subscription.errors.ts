import { BadRequestException, ConflictException } from '@nestjs/common';
import { ProblemException, wrongFields } from '#http';
import { hasSqlstate, isPostgresError, isUniqueViolation, SQLSTATE } from '#postgres';
import { METADATA } from './validators.js';

export function notFound(): ProblemException {
  return new ProblemException('not-found', 'No subscription with this email');
}

export function alreadyExists(): ProblemException {
  return new ProblemException('already-exists', 'A subscription with this email exists', {
    errors: [{ field: 'email', detail: 'is taken', pointer: '/email' }],
  });
}

/**
 * What DB1's answer to a write means for the caller; anything unknown stays what it is. The table may have rules of its owner's:
 * constraints (class 23), triggers that raise (P0001), columns that are narrower than the API's bounds (class 22).
 */
export function toHttpError(error: unknown): unknown {
  if (!isPostgresError(error)) return error;
  const { code, message, detail, constraint } = error;
  if (isUniqueViolation(error) && detail?.startsWith('Key (email)=')) return alreadyExists();
  if (hasSqlstate(error, SQLSTATE.metadataTooLarge)) {
    const detail = `would have more than ${METADATA.keys} keys or ${METADATA.bytes} bytes after the merge`;
    return wrongFields([{ field: 'metadata', detail, pointer: '/metadata' }]);
  }
  if (isUniqueViolation(error)) return new ConflictException(`Another row has a value that must be unique: constraint ${constraint}`);
  if (hasSqlstate(error, SQLSTATE.integrityConstraintViolation))
    return new BadRequestException(`The database refuses the row: constraint ${constraint ?? 'NOT NULL'}`);
  if (hasSqlstate(error, SQLSTATE.dataException)) return new BadRequestException(`The database refuses a value (SQLSTATE ${code})`);
  if (hasSqlstate(error, SQLSTATE.raiseException))
    return new BadRequestException(`The database refuses the change: ${withoutEmails(message)}`);
  return error;
}

/** What the owner's trigger says is for the caller, who may log it: a problem never holds an email, not even the caller's own. */
function withoutEmails(text: string): string {
  return text.replaceAll(/[^\s@<>()[\]"',;:]+@[^\s@<>()[\]"',;:]+/g, '(an email)');
}
