import type { LoggerService } from '@nestjs/common';
import { type Logger, pino } from 'pino';

/** A line waits so long for others, ms, until there are so many bytes: a write for each request takes 11 µs. */
const TOGETHER = { periodicFlush: 100, minLength: 4_096 };

/**
 * The process's log: JSON lines on stdout, all of them at the end of the process. What is logged of a request is its method, route and
 * status, never its path or body: emails stand in both.
 */
export function createLogger(level: string): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    pino.destination({ dest: 1, sync: false, ...TOGETHER }),
  );
}

/** Parts of Nest that list every module and route at start. */
const NEST_CHATTER = new Set(['InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'NestFactory']);

/** Nest's own logger on top of pino: `context` is the part that speaks. What is worth a warning is written at once. */
export class NestLogger implements LoggerService {
  constructor(private readonly pino: Logger) {}

  log(message: unknown, context?: string): void {
    const level = NEST_CHATTER.has(context ?? '') ? 'debug' : 'info';
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

  /** Nest calls it with (message, context) or (message, stack, context). */
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
