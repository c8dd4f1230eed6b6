import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { actorOf, OptionalHeader, ProblemException } from '#http';
import { EMAIL_LENGTH } from './validators.js';

/** What a write carries besides its body. */
export interface WriteContext extends Preconditions {
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

/** The {@link WriteContext} of a handler's request. */
export const RequestContext = createParamDecorator((_: unknown, host: ExecutionContext) =>
  writeContextOf(host.switchToHttp().getRequest<Request>()),
);

function writeContextOf(request: Request): WriteContext {
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

/** A header of entity tags: any version, or those that are named. Undefined: the header is not there. */
type Tags = '*' | readonly number[] | undefined;

/** RFC 9110, 13.1. An ETag is the row's version, quoted. */
interface Preconditions {
  readonly ifMatch: Tags;
  readonly ifNoneMatch: Tags;
}

/** @throws ProblemException 400 when a header is no list of entity tags. */
function readPreconditions(headers: Readonly<Record<string, string | string[] | undefined>>): Preconditions {
  return {
    // Compared strongly: a weak tag is never equal. If-None-Match compares weakly.
    ifMatch: parse('If-Match', headers['if-match'], false),
    ifNoneMatch: parse('If-None-Match', headers['if-none-match'], true),
  };
}

/** Whether what is there has one of the tags. */
export function names(tags: Tags, version: number): boolean {
  return tags === '*' || (tags?.includes(version) ?? false);
}

export function etagOf(version: number): string {
  return `"${version}"`;
}

/** `current`: the version that is there. */
export function preconditionFailed(header: string, current: number | undefined): ProblemException {
  const detail = current === undefined ? `${header} does not hold: there is no such subscription` : `${header} does not hold`;
  return new ProblemException(
    'precondition-failed',
    detail,
    current === undefined ? {} : { current_version: current },
    current === undefined ? {} : { etag: etagOf(current) },
  );
}

const TAG = /[\s,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[^\S,]*(?=,|$)/y;

function parse(name: string, header: string | string[] | undefined, weakly: boolean): Tags {
  if (header === undefined) return undefined;
  const text = String(header).trim();
  if (text === '*') return '*';
  const versions: number[] = [];
  TAG.lastIndex = 0;
  let end = 0;
  for (let tag = TAG.exec(text); tag; tag = TAG.exec(text)) {
    end = TAG.lastIndex;
    // Another tag than a version is a valid one, and never ours.
    if ((tag[1] === undefined || weakly) && /^[1-9]\d{0,14}$/.test(tag[2]!)) versions.push(Number(tag[2]));
  }
  if (end === 0 || /[^\s,]/.test(text.slice(end))) {
    throw new ProblemException('invalid-request', `${name} must be * or a list of quoted entity tags`, {
      errors: [{ field: name, detail: 'must be * or a list of quoted entity tags, as in "42", "43"' }],
    });
  }
  return versions;
}

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
