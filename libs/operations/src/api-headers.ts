import { ApiHeader, type ApiResponseOptions } from '@nestjs/swagger';

type Headers = NonNullable<ApiResponseOptions['headers']>;

/** A header that a request may have, as text. Without an example: Swagger UI would send it with every try. */
export function OptionalHeader(name: string, description: string, text: { pattern?: string; format?: string } = {}): MethodDecorator {
  return ApiHeader({ name, required: false, description, schema: { type: 'string', ...text } });
}

/** Headers of answers, for the API's description. A required one is in every answer that has the status. */
export const ETAG = { ETag: always('The version, quoted', '"42"') } satisfies Headers;
export const RETRY_AFTER = {
  'Retry-After': { description: 'Seconds', required: true, schema: { type: 'integer', minimum: 0 }, example: 1 },
} satisfies Headers;
export const PREFERENCE_APPLIED = { 'Preference-Applied': sometimes('What of Prefer was done', 'wait=5') } satisfies Headers;
export const IDEMPOTENCY_REPLAYED = {
  'Idempotency-Replayed': sometimes('true where an earlier request with this Idempotency-Key has done it', 'true'),
} satisfies Headers;
export const CHALLENGE = {
  'WWW-Authenticate': always('Why the credential is refused (RFC 6750)', 'Bearer realm="subscription-sync"'),
} satisfies Headers;
export const RATE_LIMIT = {
  RateLimit: sometimes('What is left of the limit, and for how many seconds', '"key";r=599;t=42'),
  'RateLimit-Policy': sometimes('The limit of the credential, where it has one', '"key";q=600;w=60'),
} satisfies Headers;

/** Of what was made. */
export function location(example: string): Headers {
  return { Location: always('Its path', example) };
}

/** To the next page of a list; absent on the last. */
export function nextLink(path: string): Headers {
  return {
    Link: sometimes('The next page; absent on the last', `<${path}?cursor=WyJlbWFpbCIsbnVsbCwiYWRhQGV4YW1wbGUuY29tIl0>; rel="next"`),
  };
}

/** Where to look how far it is (RFC 8631). */
export const STATUS_LINK = {
  Link: always('Where to look whether Database 2 has it', '</subscriptions/ada%40example.com/replication>; rel="status"'),
} satisfies Headers;

function always(
  description: string,
  example: string,
): { description: string; required: true; schema: { type: 'string' }; example: string } {
  return { description, required: true, schema: { type: 'string' }, example };
}

function sometimes(description: string, example: string): { description: string; schema: { type: 'string' }; example: string } {
  return { description, schema: { type: 'string' }, example };
}
