import { BadRequestException, ConflictException, NotFoundException } from '@nestjs/common';

/** SQLSTATEs by which DB1 refuses a value that passed validation. */
const REFUSED_VALUES = /^22/;

export function notFound(): NotFoundException {
  return new NotFoundException('No subscription with this email');
}

/** What DB1's answer to a write means for the caller; anything unknown stays what it is. */
export function toHttpError(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const code = String(error.code);
  if (code === '23505') {
    return new ConflictException({ message: 'A subscription with this email exists', errors: [{ field: 'email', detail: 'is taken' }] });
  }
  if (REFUSED_VALUES.test(code)) return new BadRequestException(`The database refuses a value (SQLSTATE ${code})`);
  return error;
}
