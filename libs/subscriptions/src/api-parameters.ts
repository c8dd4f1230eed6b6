import { applyDecorators } from '@nestjs/common';
import { ApiHeader, ApiParam } from '@nestjs/swagger';
import { EMAIL_LENGTH, EMAIL_PATTERN } from './email.js';

/** The email of a path, for the API's description. */
export const EmailParam = (): MethodDecorator =>
  ApiParam({
    name: 'email',
    example: 'ada@example.com',
    description: 'In any letters: it is trimmed and lower-cased',
    schema: { type: 'string', maxLength: EMAIL_LENGTH, pattern: EMAIL_PATTERN },
  });

const IdempotencyKeyHeader = (): MethodDecorator =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    example: '6f1d4b0e-5f0c-4a6e-8d55-0d7a8d0f4c1e',
    description: 'Makes it safe to send the request again within 24 hours: it is done once, and the answer is the first one',
    schema: { type: 'string', pattern: '^[!-~]{1,255}$' },
  });

/** RFC 7240. A preference that is not understood is ignored, so any text is taken. */
export const PreferHeader = (description: string): MethodDecorator =>
  ApiHeader({ name: 'Prefer', required: false, example: 'wait=5', description, schema: { type: 'string' } });

const TraceparentHeader = (): MethodDecorator =>
  ApiHeader({
    name: 'traceparent',
    required: false,
    example: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    description: 'W3C trace context; goes with the change to Kafka. A malformed one is ignored',
    schema: { type: 'string' },
  });

/** What any write of a subscription may bring along. */
export const WriteHeaders = (): MethodDecorator =>
  applyDecorators(
    IdempotencyKeyHeader(),
    PreferHeader('`wait=5`: answered when Database 2 has it, or with 202 after so many seconds, 30 at most; committed in either case'),
    TraceparentHeader(),
  );

const TAG = '(W/)?"[!#-~\u0080-\u00ff]*"';
const tags = (name: string, example: string, description: string): MethodDecorator =>
  ApiHeader({
    name,
    required: false,
    example,
    description,
    schema: { type: 'string', pattern: `^([*]|[ \\t,]*${TAG}([ \\t]*,[ \\t,]*${TAG})*[ \\t,]*)$` },
  });

/** RFC 9110, 13.1. */
export const PreconditionHeaders = (effect: string): MethodDecorator =>
  applyDecorators(
    tags('If-Match', '"42"', `Only if the version is one of these, or * for any: "42". ${effect}`),
    tags('If-None-Match', '"41"', `Only if the version is none of these, or * if there is none. ${effect}`),
  );
