import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import { DatabaseUnavailableError } from '#postgres';
import { loggable } from './loggable.js';
import { problem, type Problem, PROBLEM_TYPE, ProblemException } from './problem.js';

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
    this.logger.error(`Request ${request_id}: ${loggable(error)}`);
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
