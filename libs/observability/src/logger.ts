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

/** An event that operators must know: `code` is stable and listed in docs/operating/runbook.md, the text of `message` is not. */
interface LogEvent {
  readonly code: string;
  readonly message: string;
}

/**
 * Nest's logger on top of pino; `context` names the part that logs. A message is a text or a {@link LogEvent}. Warnings and errors are flushed
 * at once.
 */
export class NestLogger implements LoggerService {
  constructor(private readonly pino: Logger) {}

  log(message: unknown, context?: string): void {
    this.write(VERBOSE_CONTEXTS.has(context ?? '') ? 'debug' : 'info', message, { context });
  }

  warn(message: unknown, context?: string): void {
    this.write('warn', message, { context });
    this.pino.flush();
  }

  debug(message: unknown, context?: string): void {
    this.write('debug', message, { context });
  }

  verbose(message: unknown, context?: string): void {
    this.write('trace', message, { context });
  }

  fatal(message: unknown, context?: string): void {
    this.write('fatal', message, { context });
    this.pino.flush();
  }

  /** Nest calls this with (message, context) or (message, stack, context). */
  error(message: unknown, ...rest: unknown[]): void {
    const context = rest.at(-1);
    const stack = rest.length > 1 ? rest[0] : undefined;
    this.write('error', message, { context, stack });
    this.pino.flush();
  }

  private write(level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal', message: unknown, fields: object): void {
    if (isEvent(message)) this.pino[level]({ code: message.code, ...fields }, message.message);
    else this.pino[level](fields, text(message));
  }
}

/** Switches the log to the level `debug`, or back to the configured one. A log that is configured as `debug` or `trace` switches to `info`. */
export function toggleDebugLevel(logger: Logger, configured: string): void {
  const other = configured === 'debug' || configured === 'trace' ? 'info' : 'debug';
  const [next, previous] = logger.level === configured ? [other, configured] : [configured, other];
  // At this level the line is seen, also by a log of errors only.
  logger.level = other;
  logger.info({ context: 'log', code: 'log-level' }, `The log level is ${next} now. SIGUSR2 sets it to ${previous}.`);
  logger.flush();
  logger.level = next;
}

function isEvent(message: unknown): message is LogEvent {
  return typeof message === 'object' && message !== null && !(message instanceof Error) && 'code' in message && 'message' in message;
}

function text(message: unknown): string {
  if (message instanceof Error) return message.message;
  return typeof message === 'string' ? message : JSON.stringify(message);
}
