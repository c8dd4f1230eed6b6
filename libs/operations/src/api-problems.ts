import { applyDecorators } from '@nestjs/common';
import { ApiExtraModels, ApiProperty, ApiPropertyOptional, ApiResponse, getSchemaPath, type ApiResponseOptions } from '@nestjs/swagger';
import { CHALLENGE, ETAG, RETRY_AFTER } from './api-headers.js';
import { PROBLEM_TYPES, problemNameOf, type ProblemName } from './problem-types.js';

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
