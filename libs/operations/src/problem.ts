import { applyDecorators } from '@nestjs/common';
import { ApiExtraModels, ApiProperty, ApiPropertyOptional, ApiResponse, getSchemaPath } from '@nestjs/swagger';

/** A wrong field of a request. */
export class FieldError {
  @ApiProperty({ example: 'status', description: 'Of the body, the query or the path' })
  field!: string;

  @ApiProperty({ example: 'must be one of pending, trialing, active, past_due, paused, canceled, expired' })
  detail!: string;
}

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** What every error answers: RFC 9457. */
export class Problem {
  @ApiProperty({ example: 'about:blank' })
  type!: string;

  @ApiProperty({ example: 'Bad request' })
  title!: string;

  @ApiProperty({ example: 400 })
  status!: number;

  @ApiProperty({ example: 'The request has wrong fields' })
  detail!: string;

  @ApiPropertyOptional({ type: [FieldError], description: 'Every wrong field, where fields are wrong' })
  errors?: readonly FieldError[];
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  404: 'Not found',
  409: 'Conflict',
  410: 'Gone',
  413: 'Content too large',
  414: 'URI too long',
  415: 'Unsupported media type',
  503: 'Service unavailable',
};

export function problem(status: number, detail: string, errors?: readonly FieldError[]): Problem {
  return { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, ...(errors ? { errors } : {}) };
}

const DESCRIPTIONS: Readonly<Record<number, string>> = {
  400: 'Something in the request is wrong; `errors` names each field. Nothing was changed.',
  404: 'There is none of that name',
  409: 'What is there is in the way. Nothing was changed.',
  410: 'The change log no longer holds what follows the cursor; start again without one',
  413: 'The body is larger than 64 KB',
  415: 'The body is not application/json',
  503: 'The database does not answer; `Retry-After` says when to try again',
};

/** Documents the errors of an operation, all as `application/problem+json`. */
export function ApiProblems(...statuses: number[]): MethodDecorator & ClassDecorator {
  return applyDecorators(
    ApiExtraModels(Problem),
    ...statuses.map((status) =>
      ApiResponse({
        status,
        description: DESCRIPTIONS[status] ?? TITLES[status] ?? 'Error',
        content: {
          'application/problem+json': {
            schema: { $ref: getSchemaPath(Problem) },
            example: { type: 'about:blank', title: TITLES[status], status, detail: DESCRIPTIONS[status] },
          },
        },
        ...(status === 503 ? { headers: { 'Retry-After': { description: 'Seconds', schema: { type: 'integer' } } } } : {}),
      }),
    ),
  );
}
