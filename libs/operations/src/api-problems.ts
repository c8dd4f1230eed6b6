import { applyDecorators } from '@nestjs/common';
import { ApiExtraModels, ApiProperty, ApiPropertyOptional, ApiResponse, getSchemaPath } from '@nestjs/swagger';
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

/** RFC 9457, for the API's description. */
class Problem {
  @ApiProperty({ example: '/problems/invalid-request', description: 'Stable; its path says what it means and what to do' })
  type!: string;

  @ApiProperty({ example: 'Bad request' })
  title!: string;

  @ApiProperty({ example: 400 })
  status!: number;

  @ApiProperty({ example: 'The request has wrong fields' })
  detail!: string;

  @ApiProperty({ example: '5f0c6a0e-6f1d-4b0e-8d55-0d7a8d0f4c1e', description: 'Also in X-Request-Id, and in the log' })
  request_id!: string;

  @ApiPropertyOptional({ type: [FieldError], description: 'Every wrong field, where fields are wrong' })
  errors?: FieldError[];
}

const RETRY_AFTER = { 'Retry-After': { description: 'Seconds', schema: { type: 'integer' as const } } };
const WITH_RETRY_AFTER: readonly number[] = [429, 503];

/** Documents the errors of an operation, all as `application/problem+json`: a status, or the kinds that it may be. */
export function ApiProblems(...kinds: (number | ProblemName)[]): MethodDecorator & ClassDecorator {
  const byStatus = new Map<number, ProblemName[]>();
  for (const kind of kinds) {
    const name = typeof kind === 'number' ? problemNameOf(kind) : kind;
    if (name === undefined) throw new Error(`There is no kind of problem of status ${kind}`);
    const { status } = PROBLEM_TYPES[name];
    byStatus.set(status, [...(byStatus.get(status) ?? []), name]);
  }
  return applyDecorators(
    ApiExtraModels(Problem),
    ...[...byStatus].map(([status, names]) =>
      ApiResponse({
        status,
        description: names.map((name) => PROBLEM_TYPES[name].meaning).join(' Or: '),
        content: {
          'application/problem+json': {
            schema: { $ref: getSchemaPath(Problem) },
            example: { type: `/problems/${names[0]!}`, title: PROBLEM_TYPES[names[0]!].title, status, detail: '…', request_id: '…' },
          },
        },
        ...(WITH_RETRY_AFTER.includes(status) ? { headers: RETRY_AFTER } : {}),
      }),
    ),
  );
}
