import type { LoggerService } from '@nestjs/common';
import { type Logger, pino } from 'pino';

/** Lines are written together, after 100 ms or 4,096 bytes, whichever comes first: one write for each request would take 11 µs. */
const BUFFERING = { periodicFlush: 100, minLength: 4_096 };

/**
 * Creates the log of the process: JSON lines on stdout, flushed when the process ends. The line of a request has its method, route and
 * status, never its path or body, because both contain emails.
 */
export function createLogger(level: string): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    pino.destination({ dest: 1, sync: false, ...BUFFERING }),
  );
}

/** Contexts in which Nest lists every module and route at start; logged at level `debug`. */
const VERBOSE_CONTEXTS = new Set(['InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'NestFactory']);

/** Nest's logger on top of pino; `context` names the part that logs. Warnings and errors are flushed at once. */
export class NestLogger implements LoggerService {
  constructor(private readonly pino: Logger) {}

  log(message: unknown, context?: string): void {
    const level = VERBOSE_CONTEXTS.has(context ?? '') ? 'debug' : 'info';
    this.pino[level]({ context }, text(message));
  }

  warn(message: unknown, context?: string): void {
    this.pino.warn({ context }, text(message));
    this.pino.flush();
  }

  debug(message: unknown, context?: string): void {
    this.pino.debug({ context }, text(message));
  }

  verbose(message: unknown, context?: string): void {
    this.pino.trace({ context }, text(message));
  }

  fatal(message: unknown, context?: string): void {
    this.pino.fatal({ context }, text(message));
    this.pino.flush();
  }

  /** Nest calls this with (message, context) or (message, stack, context). */
  error(message: unknown, ...rest: unknown[]): void {
    const context = rest.at(-1);
    const stack = rest.length > 1 ? rest[0] : undefined;
    this.pino.error({ context, stack }, text(message));
    this.pino.flush();
  }
}

function text(message: unknown): string {
  if (message instanceof Error) return message.message;
  return typeof message === 'string' ? message : JSON.stringify(message);
}
