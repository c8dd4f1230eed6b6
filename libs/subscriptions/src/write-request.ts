import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { actorOf, ProblemException } from '#http';
import { type Preconditions, readPreconditions } from './preconditions.js';

/** What a write carries besides its body. */
export interface WriteRequest extends Preconditions {
  /** Who writes: recorded with the change, and the owner of the idempotency key. */
  readonly actor: string;
  readonly traceparent: string | undefined;
  readonly idempotencyKey: string | undefined;
}

interface Request {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** W3C Trace Context, version 00. */
const TRACEPARENT = /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/** The {@link WriteRequest} of a handler's request. */
export const Write = createParamDecorator((_: unknown, host: ExecutionContext) =>
  writeRequestOf(host.switchToHttp().getRequest<Request>()),
);

function writeRequestOf(request: Request): WriteRequest {
  const { headers } = request;
  const { traceparent } = headers;
  return {
    actor: actorOf(request),
    // A malformed one is ignored, as the standard asks.
    traceparent: typeof traceparent === 'string' && TRACEPARENT.test(traceparent) ? traceparent : undefined,
    idempotencyKey: idempotencyKeyOf(headers['idempotency-key']),
    ...readPreconditions(headers),
  };
}

function idempotencyKeyOf(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && IDEMPOTENCY_KEY.test(header)) return header;
  throw new ProblemException('invalid-request', 'The Idempotency-Key is not well-formed', {
    errors: [{ field: 'Idempotency-Key', detail: 'must be 1 to 255 visible ASCII characters' }],
  });
}
