import { applyDecorators } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';

export const ETAG = { ETag: { description: 'The version, quoted', schema: { type: 'string' as const }, example: '"42"' } };

export const RequestIdHeader = (): MethodDecorator =>
  ApiHeader({
    name: 'X-Request-Id',
    required: false,
    description: 'In the answer and in the log; a new one where there is none',
    schema: { type: 'string', pattern: '^[A-Za-z0-9_.:-]{1,128}$' },
  });

const tags = (name: string, description: string): MethodDecorator =>
  ApiHeader({ name, required: false, description, schema: { type: 'string' } });

export const IdempotencyKeyHeader = (): MethodDecorator =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Makes it safe to send the request again within 24 hours: it is done once, and the answer is the first one',
    schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
  });

/** RFC 9110, 13.1. */
export const PreconditionHeaders = (effect: string): MethodDecorator =>
  applyDecorators(
    tags('If-Match', `Only if the version is one of these, or * for any: "42". ${effect}`),
    tags('If-None-Match', `Only if the version is none of these, or * if there is none. ${effect}`),
  );
