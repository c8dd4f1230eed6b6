import type { LoggerService } from '@nestjs/common';
import { type DestinationStream, type Logger, pino } from 'pino';

/** Lines are written together, after this time (ms) or this many characters: one write for each request would take 11 µs. */
const FLUSH_INTERVAL_MS = 100;
const FLUSH_LENGTH = 65_536;

/**
 * Creates the log of the process: JSON lines on stdout, flushed when the process ends. The line of a request has its method, route and
 * status, never its path or body, because both contain emails.
 */
export function createLogger(level: string): Logger {
  stdout ??= new LineBuffer(pino.destination({ dest: 1, sync: false }));
  return pino({ level, base: null, timestamp: timestampMember, formatters: { level: (label) => ({ level: label }) } }, stdout);
}

/** Stdout, which all logs of the process share. */
let stdout: LineBuffer | undefined;

/**
 * Gathers lines for pino's destination, which can gather them itself, but then measures all that it has again with each line: a line of a request
 * takes 10 µs of processor time that way, and 4.5 µs with this class and {@link timestampMember}.
 */
class LineBuffer implements DestinationStream {
  private waiting = '';

  constructor(private readonly destination: ReturnType<typeof pino.destination>) {
    setInterval(() => this.passOn(), FLUSH_INTERVAL_MS).unref();
    // Before pino's listeners, which write and close what the destination has.
    process.prependListener('beforeExit', () => this.passOn());
    process.prependListener('exit', () => this.passOn());
  }

  write(line: string): void {
    this.waiting += line;
    if (this.waiting.length >= FLUSH_LENGTH) this.passOn();
  }

  flush(done?: (error?: Error) => void): void {
    this.passOn();
    this.destination.flush(done);
  }

  private passOn(): void {
    if (this.waiting === '') return;
    this.destination.write(this.waiting);
    this.waiting = '';
  }
}

/** The text of the current second up to its fraction. Making it costs a line 1.2 µs. */
let second = { ms: Number.NaN, text: '' };

/** Returns the member `time` of a line, in ISO 8601 with milliseconds. */
function timestampMember(): string {
  const now = Date.now();
  const ms = now - (now % 1_000);
  if (ms !== second.ms) second = { ms, text: new Date(ms).toISOString().slice(0, -'000Z'.length) };
  return `,"time":"${second.text}${String(now - ms).padStart(3, '0')}Z"`;
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
