import { createHash } from 'node:crypto';
import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { actorOf, OptionalHeader, ProblemException } from '#http';
import { EMAIL_LENGTH, TWO_SPELLINGS } from './validators.js';

/** The caller and the checked headers of a request. */
export interface SubscriptionRequestContext extends Preconditions {
  /** The client. Recorded with each change, and the owner of the idempotency key. */
  readonly actor: string;
  readonly traceparent: string | undefined;
  readonly idempotencyKey: string | undefined;
  /** How long the response may wait for Database 2. Undefined without `Prefer: wait`. */
  readonly replicaWait: ReplicaWait | undefined;
}

/** The preference `wait` of a request (RFC 7240). */
export interface ReplicaWait {
  readonly seconds: number;
  /** Aborts when the client disconnects. */
  readonly signal: AbortSignal;
}

/** Provides the {@link SubscriptionRequestContext} of the current request. @throws ProblemException 400 when a header is malformed. */
export const RequestContext = createParamDecorator((_: unknown, host: ExecutionContext) => {
  const http = host.switchToHttp();
  return requestContextOf(http.getRequest<Request>(), http.getResponse<Reply>());
});

/** The parts of Fastify's request and reply that are used here. */
interface Request {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The context of the request's span, if the server makes one and its trace is sampled. */
  readonly traceparent?: string | undefined;
}
interface Reply {
  readonly raw: NodeJS.EventEmitter;
}

/** W3C Trace Context, version 00. */
const TRACEPARENT = /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

function requestContextOf(request: Request, reply: Reply): SubscriptionRequestContext {
  const { headers } = request;
  const seconds = headers['prefer'] === undefined ? undefined : preferredWait(headers['prefer']);
  return {
    actor: actorOf(request),
    traceparent: request.traceparent ?? sentTraceparent(headers['traceparent']),
    idempotencyKey: idempotencyKeyOf(headers['idempotency-key']),
    replicaWait: seconds === undefined ? undefined : { seconds, signal: disconnectSignal(reply) },
    ...readPreconditions(headers),
  };
}

/** Returns the header's value. The standard asks to ignore a malformed one. */
function sentTraceparent(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && TRACEPARENT.test(header) ? header : undefined;
}

function idempotencyKeyOf(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && IDEMPOTENCY_KEY.test(header)) return header;
  throw new ProblemException('invalid-request', 'The Idempotency-Key is not well-formed', {
    errors: [{ field: 'Idempotency-Key', detail: 'must be 1 to 255 visible ASCII characters' }],
  });
}

/** Maximum time (s) for which a request waits. */
const MAX_WAIT_S = 30;

/**
 * Returns the seconds of `Prefer: wait=5` (RFC 7240), at most {@link MAX_WAIT_S}. Returns undefined when the preference is absent or
 * malformed: a preference is never an error.
 */
export function preferredWait(header: string | string[] | undefined): number | undefined {
  const preferences = [header ?? []].flat().flatMap((line) => line.split(','));
  for (const preference of preferences) {
    const match = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|$)/i.exec(preference);
    if (match) return Math.min(Number(match[1]), MAX_WAIT_S);
  }
  return undefined;
}

/** Returns a signal that aborts when the connection of the request closes. */
export function disconnectSignal({ raw }: Reply): AbortSignal {
  const disconnect = new AbortController();
  raw.once('close', () => disconnect.abort());
  return disconnect.signal;
}

/** The entity tags in a header, without quotes, or `*` for any. Undefined when the header is absent. */
type Tags = '*' | readonly string[] | undefined;

/** Preconditions of a request (RFC 9110, section 13.1). */
interface Preconditions {
  readonly ifMatch: Tags;
  readonly ifNoneMatch: Tags;
}

/** @throws ProblemException 400 when a header is not a list of entity tags. */
function readPreconditions(headers: Readonly<Record<string, string | string[] | undefined>>): Preconditions {
  return {
    // If-Match compares strongly, so a weak tag never matches. If-None-Match compares weakly.
    ifMatch: parseTags('If-Match', headers['if-match'], false),
    ifNoneMatch: parseTags('If-None-Match', headers['if-none-match'], true),
  };
}

/** Whether one of the tags is that of the subscription's JSON text. */
export function matchesTag(tags: Tags, body: string): boolean {
  return tags === '*' || (tags?.includes(hashOf(body)) ?? false);
}

/** Returns the entity tag of a subscription's JSON text. */
export function etagOf(body: string): string {
  return `"${hashOf(body)}"`;
}

/** Computes the same hash as `subscription_sync.write`, which checks the preconditions of writes. */
function hashOf(body: string): string {
  return createHash('md5').update(body).digest('hex');
}

/** Builds the 412 response. @param current JSON text of the existing subscription; undefined when it does not exist. */
export function preconditionFailed(header: string, current: string | undefined): ProblemException {
  const unmet = `The condition in ${header} is not met`;
  if (current === undefined) return new ProblemException('precondition-failed', `${unmet}: the subscription does not exist`);
  return new ProblemException('precondition-failed', unmet, {}, { etag: etagOf(current) });
}

const TAG = /[\s,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[^\S,]*(?=,|$)/y;

function parseTags(name: string, header: string | string[] | undefined, weakly: boolean): Tags {
  if (header === undefined) return undefined;
  const text = String(header).trim();
  if (text === '*') return '*';
  const tags: string[] = [];
  TAG.lastIndex = 0;
  let end = 0;
  for (let tag = TAG.exec(text); tag; tag = TAG.exec(text)) {
    end = TAG.lastIndex;
    if (tag[1] === undefined || weakly) tags.push(tag[2]!);
  }
  if (end === 0 || /[^\s,]/.test(text.slice(end))) {
    throw new ProblemException('invalid-request', `${name} must be * or a list of quoted entity tags`, {
      errors: [{ field: name, detail: 'must be * or a list of quoted entity tags, as in "42", "43"' }],
    });
  }
  return tags;
}

/** Documents the email in a path. */
export const EmailParam = (): MethodDecorator =>
  ApiParam({
    name: 'email',
    example: 'ada@example.com',
    description: `Email of the subscription. Case and surrounding spaces are ignored. ${TWO_SPELLINGS}`,
    schema: { type: 'string', format: 'email', maxLength: EMAIL_LENGTH },
  });

const IdempotencyKeyHeader = (): MethodDecorator =>
  OptionalHeader(
    'Idempotency-Key',
    'Makes it safe to send the request again within 24 hours: the change is made once, and each repetition receives the first response',
    { pattern: '^[!-~]{1,255}$' },
  );

/** Documents `Prefer` (RFC 7240). Any text is valid, because unknown preferences are ignored. */
export const PreferHeader = (description: string): MethodDecorator => OptionalHeader('Prefer', description);

const TraceparentHeader = (): MethodDecorator =>
  OptionalHeader(
    'traceparent',
    'W3C trace context, as in 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01. It is sent to Kafka with the change. A malformed value is ignored',
  );

/** Documents the headers that every write of a subscription accepts. */
export const WriteHeaders = (): MethodDecorator =>
  applyDecorators(
    IdempotencyKeyHeader(),
    PreferHeader(
      `\`wait=5\`: the response waits until Database 2 has the change, but at most this many seconds (maximum ${MAX_WAIT_S}); after that it is 202. ` +
        'The change is committed in either case',
    ),
    TraceparentHeader(),
  );

const TAG_PATTERN = '(W/)?"[!#-~]*"';
const tags = (name: string, description: string): MethodDecorator =>
  OptionalHeader(name, description, { pattern: `^([*]|${TAG_PATTERN}( *, *${TAG_PATTERN})*)$` });

/** Documents If-Match and If-None-Match (RFC 9110, section 13.1). */
export const PreconditionHeaders = (otherwise: string): MethodDecorator =>
  applyDecorators(
    tags('If-Match', `Proceeds only if the subscription's ETag is one of these; \`*\` stands for any. ${otherwise}`),
    tags(
      'If-None-Match',
      `Proceeds only if the subscription's ETag is none of these; with \`*\`, only if the subscription does not exist. ${otherwise}`,
    ),
  );
