import { STATUS_CODES } from 'node:http';
import { HttpException } from '@nestjs/common';
import { PROBLEM_TYPES, problemNameOf, type ProblemName } from './problem-types.js';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** A wrong field of a request. */
export interface FieldError {
  /** Of the body, the query, the path or the headers. */
  readonly field: string;
  readonly detail: string;
  /** JSON pointer into the body (RFC 6901), for a field of the body. */
  readonly pointer?: string;
}

/** What every error answers: RFC 9457. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** Every wrong field, where fields are wrong. */
  readonly errors?: readonly FieldError[];
  /** Also in the header X-Request-Id, and in the log. */
  readonly request_id?: string;
  readonly [extension: string]: unknown;
}

/** `kind`: its name, or a status whose kind is not known. `more`: `errors`, `request_id`, and members of the kind's own. */
export function problem(kind: ProblemName | number, detail: string, more: Readonly<Record<string, unknown>> = {}): Problem {
  const name = typeof kind === 'number' ? problemNameOf(kind) : kind;
  if (name === undefined) return { type: 'about:blank', title: STATUS_CODES[kind] ?? 'Error', status: Number(kind), detail, ...more };
  const { status, title } = PROBLEM_TYPES[name];
  return { type: `/problems/${name}`, title, status, detail, ...more };
}

/** An error of the caller's, of a kind of its own. Its detail must hold no email. */
export class ProblemException extends HttpException {
  constructor(
    readonly kind: ProblemName,
    detail: string,
    readonly members: Readonly<Record<string, unknown>> = {},
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail, PROBLEM_TYPES[kind].status);
  }
}
