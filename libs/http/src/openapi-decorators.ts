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

/** OpenAPI schemas of whole numbers. Versions, ids, offsets and counts have 64 bits; a generated client would otherwise use 32. */
export const INT32 = { type: 'integer', format: 'int32' } as const;
export const INT64 = { type: 'integer', format: 'int64' } as const;

/** Documents an optional request header. It has no example, because Swagger UI would send the example with every request. */
export function OptionalHeader(name: string, description: string, text: { pattern?: string; format?: string } = {}): MethodDecorator {
  return ApiHeader({ name, required: false, description, schema: { type: 'string', ...text } });
}

/** Response headers for the OpenAPI document. A required header is part of every response that has the status. */
export const ETAG = {
  ETag: always('A hash of the subscription, for conditional requests', '"9a0364b9e99bb480dd25e1f0284c8555"'),
} satisfies Headers;
/** The version of a change. */
export const VERSION = {
  'Subscription-Version': {
    description: 'The version of the change: the `min_version` with which Database 2 has it',
    required: true,
    schema: INT64,
    example: 42,
  },
} satisfies Headers;
const RETRY_AFTER = {
  'Retry-After': {
    description: 'Seconds to wait before sending the request again',
    required: true,
    schema: { ...INT32, minimum: 0 },
    example: 1,
  },
} satisfies Headers;
export const PREFERENCE_APPLIED = {
  'Preference-Applied': sometimes('The preference in `Prefer` that was applied', 'wait=5'),
} satisfies Headers;
export const IDEMPOTENCY_REPLAYED = {
  'Idempotency-Replayed': sometimes('`true` if an earlier request with this Idempotency-Key made the change', 'true'),
} satisfies Headers;
const CHALLENGE = {
  'WWW-Authenticate': always('The reason why the credential was rejected (RFC 6750)', 'Bearer realm="subscription-sync"'),
} satisfies Headers;
export const RATE_LIMIT = {
  RateLimit: sometimes('The remaining requests (`r`) and the seconds until the limit resets (`t`)', '"key";r=599;t=42'),
  'RateLimit-Policy': sometimes('The rate limit of the credential, if it has one: `q` requests in `w` seconds', '"key";q=600;w=60'),
} satisfies Headers;

/** Documents the `Location` of a created resource. */
export function location(example: string): Headers {
  return { Location: always('Path of the created resource', example) };
}

/** Documents the `Link` to the next page of a list. */
export function nextLink(path: string): Headers {
  return {
    Link: sometimes(
      'Link to the next page; absent on the last page',
      `<${path}?cursor=WyJlbWFpbCIsbnVsbCwiYWRhQGV4YW1wbGUuY29tIl0>; rel="next"`,
    ),
  };
}

/** Documents the `Link` to the replication status (RFC 8631). */
export const STATUS_LINK = {
  Link: always('Link to the replication status of the subscription', '</subscriptions/ada%40example.com/replication>; rel="status"'),
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

/** An invalid field of a request, for the OpenAPI document. */
class FieldError {
  @ApiProperty({ example: 'status', description: 'Name of the field in the body, the query, the path or the headers' })
  field!: string;

  @ApiProperty({
    example: 'must be one of pending, trialing, active, past_due, paused, canceled, expired',
    description: 'What is wrong with the field',
  })
  detail!: string;

  @ApiPropertyOptional({ example: '/status', description: 'JSON pointer to the field, if it is in the body' })
  pointer?: string;
}

/** An error response (RFC 9457), for the OpenAPI document. Some types have additional members; GET of the type shows an example. */
class Problem {
  @ApiProperty({
    example: '/problems/invalid-request',
    description: 'Stable identifier of the problem type. GET of this path returns its meaning and what to do',
  })
  type!: string;

  @ApiProperty({ example: 'Bad request', description: 'Name of the problem type, for people' })
  title!: string;

  @ApiProperty({ ...INT32, example: 400, description: 'HTTP status of the response' })
  status!: number;

  @ApiProperty({ example: 'The request has invalid fields', description: 'Explanation of this occurrence, for people' })
  detail!: string;

  @ApiProperty({
    example: '5f0c6a0e-6f1d-4b0e-8d55-0d7a8d0f4c1e',
    description: 'Id of the request, as in the header X-Request-Id and in the log',
  })
  request_id!: string;

  @ApiPropertyOptional({ type: [FieldError], description: 'All invalid fields, if there are any' })
  errors?: FieldError[];
}

/** Headers of every response with a given status. */
const HEADERS: Readonly<Record<number, ApiResponseOptions['headers']>> = {
  401: CHALLENGE,
  403: CHALLENGE,
  412: { ETag: { ...ETAG.ETag, required: false, description: 'The ETag of the subscription, if it exists' } },
  415: { 'Accept-Encoding': sometimes('The content codings that are accepted, if the one of the body is not (RFC 9110)', 'identity') },
  429: RETRY_AFTER,
  503: RETRY_AFTER,
};

/** Documents the errors of an operation, all as `application/problem+json`. Each kind is a problem type, or the status of its default type. */
export function ApiProblems(...kinds: (number | ProblemName)[]): MethodDecorator & ClassDecorator {
  return applyDecorators(...problemResponses(...kinds).map((response) => ApiResponse(response)), ApiExtraModels(Problem));
}

/** Builds the OpenAPI responses for problem types: one response for each status, with an example of each type. */
export function problemResponses(...kinds: (number | ProblemName)[]): (ApiResponseOptions & { status: number })[] {
  const byStatus = new Map<number, ProblemName[]>();
  for (const kind of kinds) {
    const name = typeof kind === 'number' ? problemNameOf(kind) : kind;
    if (name === undefined) throw new Error(`No problem type has the status ${kind}`);
    const { status } = PROBLEM_TYPES[name];
    byStatus.set(status, [...(byStatus.get(status) ?? []), name]);
  }
  return [...byStatus].map(([status, names]) => {
    // Other conflicts are not transient, so they carry no Retry-After.
    const headers = names.includes('idempotency-key-in-use')
      ? { 'Retry-After': { ...RETRY_AFTER['Retry-After'], required: false } }
      : HEADERS[status];
    return {
      status,
      description:
        names.length === 1
          ? PROBLEM_TYPES[names[0]!].meaning
          : names.map((name) => `- \`${name}\`: ${PROBLEM_TYPES[name].meaning}`).join('\n'),
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
