import { applyDecorators } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { OptionalHeader } from '#http';
import { EMAIL_LENGTH } from './email.js';

/** The email of a path, for the API's description. */
export const EmailParam = (): MethodDecorator =>
  ApiParam({
    name: 'email',
    example: 'ada@example.com',
    description: 'In any letters: it is trimmed and lower-cased',
    schema: { type: 'string', format: 'email', maxLength: EMAIL_LENGTH },
  });

const IdempotencyKeyHeader = (): MethodDecorator =>
  OptionalHeader(
    'Idempotency-Key',
    'Makes it safe to send the request again within 24 hours: it is done once, and the answer is the first one',
    { pattern: '^[!-~]{1,255}$' },
  );

/** RFC 7240. A preference that is not understood is ignored, so any text is taken. */
export const PreferHeader = (description: string): MethodDecorator => OptionalHeader('Prefer', description);

const TraceparentHeader = (): MethodDecorator =>
  OptionalHeader(
    'traceparent',
    'W3C trace context, as in 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01; goes with the change to Kafka. A malformed one is ignored',
  );

/** What any write of a subscription may bring along. */
export const WriteHeaders = (): MethodDecorator =>
  applyDecorators(
    IdempotencyKeyHeader(),
    PreferHeader('`wait=5`: answered when Database 2 has it, or with 202 after so many seconds, 30 at most; committed in either case'),
    TraceparentHeader(),
  );

const TAG_PATTERN = '(W/)?"[!#-~]*"';
const tags = (name: string, description: string): MethodDecorator =>
  OptionalHeader(name, description, { pattern: `^([*]|${TAG_PATTERN}( *, *${TAG_PATTERN})*)$` });

/** RFC 9110, 13.1. */
export const PreconditionHeaders = (effect: string): MethodDecorator =>
  applyDecorators(
    tags('If-Match', `Only if the version is one of these, or * for any: "42". ${effect}`),
    tags('If-None-Match', `Only if the version is none of these, or * if there is none. ${effect}`),
  );
