import { applyDecorators } from '@nestjs/common';
import {
  ApiExtraModels,
  ApiHeader,
  ApiProperty,
  ApiPropertyOptional,
  ApiResponse,
  type ApiResponseOptions,
  getSchemaPath,
} from '@nestjs/swagger';
import { PROBLEM_TYPES, type ProblemName, problemNameOf } from './problem-types.js';

type Headers = NonNullable<ApiResponseOptions['headers']>;

/** A header that a request may have, as text. Without an example: Swagger UI would send it with every try. */
export function OptionalHeader(name: string, description: string, text: { pattern?: string; format?: string } = {}): MethodDecorator {
  return ApiHeader({ name, required: false, description, schema: { type: 'string', ...text } });
}

/** Headers of answers, for the API's description. A required one is in every answer that has the status. */
export const ETAG = { ETag: always('The version, quoted', '"42"') } satisfies Headers;
const RETRY_AFTER = {
  'Retry-After': { description: 'Seconds', required: true, schema: { type: 'integer', minimum: 0 }, example: 1 },
} satisfies Headers;
export const PREFERENCE_APPLIED = { 'Preference-Applied': sometimes('What of Prefer was done', 'wait=5') } satisfies Headers;
export const IDEMPOTENCY_REPLAYED = {
  'Idempotency-Replayed': sometimes('true where an earlier request with this Idempotency-Key has done it', 'true'),
} satisfies Headers;
const CHALLENGE = {
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

/** A wrong field of a request, for the API's description. */
class FieldError {
  @ApiProperty({ example: 'status', description: 'Of the body, the query, the path or the headers' })
  field!: string;

  @ApiProperty({ example: 'must be one of pending, trialing, active, past_due, paused, canceled, expired' })
  detail!: string;

  @ApiPropertyOptional({ example: '/status', description: 'JSON pointer into the body, for a field of the body' })
  pointer?: string;
}

/** RFC 9457, for the API's description. Kinds have members of their own; GET of their type has an example. */
class Problem {
  @ApiProperty({ example: '/problems/invalid-request', description: 'Stable; its path says what it means and what to do' })
  type!: string;

  @ApiProperty({ example: 'Bad request' })
  title!: string;

  @ApiProperty({ type: 'integer', example: 400 })
  status!: number;

  @ApiProperty({ example: 'The request has wrong fields' })
  detail!: string;

  @ApiProperty({ example: '5f0c6a0e-6f1d-4b0e-8d55-0d7a8d0f4c1e', description: 'Also in X-Request-Id, and in the log' })
  request_id!: string;

  @ApiPropertyOptional({ type: [FieldError], description: 'Every wrong field, where fields are wrong' })
  errors?: FieldError[];
}

/** Headers that every answer of a status has. */
const HEADERS: Readonly<Record<number, ApiResponseOptions['headers']>> = {
  401: CHALLENGE,
  403: CHALLENGE,
  412: { ETag: { ...ETAG.ETag, required: false, description: 'What it is at, where it exists' } },
  429: RETRY_AFTER,
  503: RETRY_AFTER,
};

/** Documents the errors of an operation, all as `application/problem+json`: a status, or the kinds that it may be. */
export function ApiProblems(...kinds: (number | ProblemName)[]): MethodDecorator & ClassDecorator {
  return applyDecorators(...problemResponses(...kinds).map((response) => ApiResponse(response)), ApiExtraModels(Problem));
}

/** The same as answers: one for each status, with an example of each kind. */
export function problemResponses(...kinds: (number | ProblemName)[]): (ApiResponseOptions & { status: number })[] {
  const byStatus = new Map<number, ProblemName[]>();
  for (const kind of kinds) {
    const name = typeof kind === 'number' ? problemNameOf(kind) : kind;
    if (name === undefined) throw new Error(`There is no kind of problem of status ${kind}`);
    const { status } = PROBLEM_TYPES[name];
    byStatus.set(status, [...(byStatus.get(status) ?? []), name]);
  }
  return [...byStatus].map(([status, names]) => {
    // Of the other conflicts nothing is known to pass by itself.
    const headers = names.includes('idempotency-key-in-use')
      ? { 'Retry-After': { ...RETRY_AFTER['Retry-After'], required: false } }
      : HEADERS[status];
    return {
      status,
      description: names.map((name) => PROBLEM_TYPES[name].meaning).join(' Or: '),
      content: {
        'application/problem+json': {
          schema: {
            allOf: [
              { $ref: getSchemaPath(Problem) },
              {
                type: 'object',
                properties: { type: { type: 'string', enum: names.map(typeOf) }, status: { type: 'integer', enum: [status] } },
              },
            ],
          },
          examples: Object.fromEntries(names.map((name) => [name, { value: exampleOf(name) }])),
        },
      },
      ...(headers ? { headers } : {}),
    };
  });
}

function exampleOf(name: ProblemName): object {
  const { title, status, example } = PROBLEM_TYPES[name];
  return { type: typeOf(name), title, status, ...example, request_id: '5f0c6a0e-6f1d-4b0e-8d55-0d7a8d0f4c1e' };
}

function typeOf(name: ProblemName): string {
  return `/problems/${name}`;
}
