import { Catch, HttpException, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { DatabaseUnavailableError } from '#databases';

/** RFC 9457. `errors` names each wrong field, by JSON pointer where the request has a body. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly FieldError[];
}

export interface FieldError {
  readonly field: string;
  readonly detail: string;
}

/** What of Fastify's reply this filter needs. */
interface Reply {
  code(status: number): Reply;
  header(name: string, value: string): Reply;
  send(body: unknown): unknown;
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  404: 'Not found',
  409: 'Conflict',
  413: 'Content too large',
  415: 'Unsupported media type',
  503: 'Service unavailable',
};
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
    const problem = this.toProblem(error);
    if (problem.status === 503) reply.header('retry-after', RETRY_AFTER_S);
    reply.code(problem.status).header('content-type', 'application/problem+json; charset=utf-8').send(JSON.stringify(problem));
  }

  private toProblem(error: unknown): Problem {
    if (error instanceof DatabaseUnavailableError) {
      this.logger.warn(error.message);
      return problem(503, 'Database 1 does not answer. Nothing was changed unless the answer to a committed write got lost; try again.');
    }
    if (error instanceof HttpException) {
      const body = error.getResponse();
      const errors = typeof body === 'object' && 'errors' in body ? (body.errors as FieldError[]) : undefined;
      return problem(error.getStatus(), error.message, errors);
    }
    const status = statusOf(error);
    if (status !== undefined && status < 500) return problem(status, (error as Error).message);
    this.logger.error(error instanceof Error ? error.message : 'unknown error', error instanceof Error ? error.stack : undefined);
    return problem(500, 'An error of the service. The log has the details.');
  }
}

function problem(status: number, detail: string, errors?: readonly FieldError[]): Problem {
  return { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, ...(errors ? { errors } : {}) };
}

/** Errors of Fastify (wrong JSON, a body too large) carry their status. */
function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** A health report is an answer, not a problem. */
function isReport(body: string | object): boolean {
  return typeof body === 'object' && 'checks' in body;
}
