import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { types } from 'node:util';
import { type ArgumentsHost, Catch, Controller, type ExceptionFilter, Get, HttpException, Logger, Module, Param } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { DatabaseUnavailableError, sqlstateOf } from '#postgres';
import { isProblemName, PROBLEM_TYPES, type ProblemName, problemNameOf } from './problem-types.js';
import { Public } from './route-scope.js';

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
interface Problem {
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

/** What of Fastify's request and reply this filter needs. */
interface Request {
  readonly id: string;
}
interface Reply {
  code(status: number): Reply;
  header(name: string, value: string): Reply;
  getHeader(name: string): unknown;
  send(body: unknown): unknown;
}

const RETRY_AFTER_S = '1';

/** Every error of the HTTP interface as `application/problem+json`. What is not the caller's is logged, and told without its details. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger('http');

  catch(error: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<Reply>();
    if (error instanceof HttpException && isReport(error.getResponse())) {
      reply.code(error.getStatus()).send(error.getResponse());
      return;
    }
    const { id } = host.switchToHttp().getRequest<Request>();
    const problem = this.toProblem(error, id);
    if (error instanceof ProblemException) for (const [name, value] of Object.entries(error.headers)) reply.header(name, value);
    if ((problem.status === 503 || problem.status === 429) && reply.getHeader('retry-after') === undefined) {
      reply.header('retry-after', RETRY_AFTER_S);
    }
    reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
  }

  private toProblem(error: unknown, request_id: string): Problem {
    if (error instanceof DatabaseUnavailableError) {
      this.logger.warn(error.message);
      return problem(
        'unavailable',
        `Database ${error.database.slice(2)} does not answer. Nothing was changed unless the answer to a committed write got lost; try again.`,
        { request_id },
      );
    }
    if (error instanceof ProblemException) return problem(error.kind, error.message, { ...error.members, request_id });
    if (error instanceof HttpException) {
      const body = error.getResponse();
      if (isUnknownRoute(error)) return problem('no-such-route', 'There is nothing at this path', { request_id });
      const errors = typeof body === 'object' && 'errors' in body ? { errors: body.errors } : {};
      return problem(error.getStatus(), error.message, { ...errors, request_id });
    }
    const status = statusOf(error);
    if (status !== undefined && status < 500) return problem(status, (error as Error).message, { request_id });
    this.logger.error(`Request ${request_id}: ${sanitizeError(error)}`);
    return problem('internal-error', 'An error of the service. The log has the details.', { request_id });
  }
}

/** Nest's own message quotes the path, and with it an email. */
function isUnknownRoute(error: HttpException): boolean {
  return error.getStatus() === 404 && error.message.startsWith('Cannot ');
}

/** Errors of Fastify (wrong JSON, a body too large) carry their status. */
function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** A health report is an answer, not a problem. */
function isReport(body: string | object): boolean {
  return typeof body === 'object' && 'checks' in body;
}

interface ProblemDescription {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly meaning: string;
  readonly example: object;
}

/** What the `type` of a problem leads to. */
@ApiExcludeController()
@Public()
@Controller('problems')
class ProblemsController {
  @Get()
  list(): ProblemDescription[] {
    return (Object.keys(PROBLEM_TYPES) as ProblemName[]).map(describe);
  }

  @Get(':name')
  read(@Param('name') name: string): ProblemDescription {
    if (!isProblemName(name)) throw new ProblemException('not-found', 'There is no kind of problem of this name; /problems lists all');
    return describe(name);
  }
}

/** `/problems`. */
@Module({ controllers: [ProblemsController] })
export class ProblemsModule {}

function describe(name: ProblemName): ProblemDescription {
  return { type: `/problems/${name}`, ...PROBLEM_TYPES[name] };
}

/** What PostgreSQL says of an error besides its text, and never with a row's values. */
const FIELDS = ['schema', 'table', 'column', 'constraint', 'routine'] as const;

/**
 * An error for the log: its stack. The text of a database's error is left out: a trigger may put anything into it, and an email is the
 * first that comes to mind. PostgreSQL's own log has it.
 */
function sanitizeError(error: unknown): string {
  if (!types.isNativeError(error)) return 'An error that is none was thrown';
  const stack = error.stack ?? error.message;
  const code = sqlstateOf(error);
  if (code === undefined) return stack;
  const fields = error as Readonly<Partial<Record<(typeof FIELDS)[number], unknown>>>;
  const known = FIELDS.filter((name) => typeof fields[name] === 'string').map((name) => `, ${name} ${fields[name] as string}`);
  const frames = stack.indexOf('\n    at ');
  return `${error.name}: SQLSTATE ${code}${known.join('')}${frames < 0 ? '' : stack.slice(frames)}`;
}

export const REQUEST_ID_HEADER = 'x-request-id';

/** No `@`, so that it can hold no email: it goes to the log. */
const WELL_FORMED = /^[\w.:-]{1,128}$/;

/** The caller's `X-Request-Id` where it is well-formed, else a new one. */
export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && WELL_FORMED.test(header) ? header : randomUUID();
}
