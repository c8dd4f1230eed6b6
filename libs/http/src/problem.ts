import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { types } from 'node:util';
import { type ArgumentsHost, Catch, Controller, type ExceptionFilter, Get, HttpException, Logger, Module, Param } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { DatabaseUnavailableError, sqlstateOf } from '#postgres';
import { isProblemName, PROBLEM_TYPES, type ProblemName, problemNameOf } from './problem-types.js';
import { Public } from './route-scope.js';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** An invalid field of a request. */
export interface FieldError {
  /** Name of the field in the body, the query, the path or the headers. */
  readonly field: string;
  readonly detail: string;
  /** JSON pointer (RFC 6901) to the field, if it is in the body. */
  readonly pointer?: string;
}

/** Body of every error response (RFC 9457). */
interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** All invalid fields, if there are any. */
  readonly errors?: readonly FieldError[];
  /** The same id is in the header X-Request-Id and in the log. */
  readonly request_id?: string;
  readonly [extension: string]: unknown;
}

/**
 * Builds the body of an error response.
 * @param kind the problem type, or an HTTP status that stands for its default type.
 * @param more `errors`, `request_id` and the members that only this type has.
 */
export function problem(kind: ProblemName | number, detail: string, more: Readonly<Record<string, unknown>> = {}): Problem {
  const name = typeof kind === 'number' ? problemNameOf(kind) : kind;
  if (name === undefined) return { type: 'about:blank', title: STATUS_CODES[kind] ?? 'Error', status: Number(kind), detail, ...more };
  const { status, title } = PROBLEM_TYPES[name];
  return { type: `/problems/${name}`, title, status, detail, ...more };
}

/** An error caused by the client, with its problem type. The detail must not contain an email: it goes to logs. */
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

/** The parts of Fastify's request and reply that the filter uses. */
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

/**
 * Answers every error of the HTTP interface as `application/problem+json`. An error that the client did not cause is logged, and its details
 * are not part of the answer.
 */
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
      // At `debug`: the database's connection logs why, once, while hundreds of requests a second may be refused.
      this.logger.debug(error.message);
      return problem(
        'unavailable',
        `Database ${error.database.slice(2)} does not respond. Nothing was changed, unless its response to a committed write was lost. Try again.`,
        { request_id },
      );
    }
    if (error instanceof ProblemException) return problem(error.kind, error.message, { ...error.members, request_id });
    if (error instanceof HttpException) {
      const body = error.getResponse();
      if (isUnknownRoute(error)) return problem('no-such-route', 'No route matches this path', { request_id });
      const errors = typeof body === 'object' && 'errors' in body ? { errors: body.errors } : {};
      return problem(error.getStatus(), error.message, { ...errors, request_id });
    }
    const status = statusOf(error);
    if (status !== undefined && status < 500) return problem(status, (error as Error).message, { request_id });
    this.logger.error({ code: 'request-failed', message: `Request ${request_id}: ${sanitizeError(error)}` });
    return problem('internal-error', 'An unexpected error occurred. The log of the service contains the details.', { request_id });
  }
}

/** Nest's own message quotes the path, which may contain an email. */
function isUnknownRoute(error: HttpException): boolean {
  return error.getStatus() === 404 && error.message.startsWith('Cannot ');
}

/** Returns the status of an error that Fastify raised (malformed JSON, a body that is too large). */
function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** A health report is sent as it is, not as a problem. */
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

/** Serves the descriptions to which the `type` of a problem refers. */
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
    if (!isProblemName(name)) throw new ProblemException('not-found', 'No problem type has this name; /problems lists all types');
    return describe(name);
  }
}

/** `/problems`. */
@Module({ controllers: [ProblemsController] })
export class ProblemsModule {}

function describe(name: ProblemName): ProblemDescription {
  return { type: `/problems/${name}`, ...PROBLEM_TYPES[name] };
}

/** Fields of a PostgreSQL error that never contain values of a row. */
const FIELDS = ['schema', 'table', 'column', 'constraint', 'routine'] as const;

/**
 * Returns the text that is logged for an error: its stack. The message of a PostgreSQL error is left out, because a constraint or a trigger
 * may put an email into it. PostgreSQL's own log has the message.
 */
function sanitizeError(error: unknown): string {
  if (!types.isNativeError(error)) return 'A value that is not an Error was thrown';
  const stack = error.stack ?? error.message;
  const code = sqlstateOf(error);
  if (code === undefined) return stack;
  const fields = error as Readonly<Partial<Record<(typeof FIELDS)[number], unknown>>>;
  const known = FIELDS.filter((name) => typeof fields[name] === 'string').map((name) => `, ${name} ${fields[name] as string}`);
  const frames = stack.indexOf('\n    at ');
  return `${error.name}: SQLSTATE ${code}${known.join('')}${frames < 0 ? '' : stack.slice(frames)}`;
}

export const REQUEST_ID_HEADER = 'x-request-id';

/** Excludes `@`, so that a request id cannot be an email: the id goes to the log. */
const WELL_FORMED = /^[\w.:-]{1,128}$/;

/** Returns the client's `X-Request-Id` if it is well-formed, otherwise a new id. */
export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && WELL_FORMED.test(header) ? header : randomUUID();
}
