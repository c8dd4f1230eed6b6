import { types } from 'node:util';

/** What PostgreSQL says of an error besides its text, and never with a row's values. */
const FIELDS = ['schema', 'table', 'column', 'constraint', 'routine'] as const;

/**
 * An error for the log: its stack. The text of a database's error is left out: a trigger may put anything into it, and an email is the
 * first that comes to mind. PostgreSQL's own log has it.
 */
export function loggable(error: unknown): string {
  if (!types.isNativeError(error)) return 'An error that is none was thrown';
  const stack = error.stack ?? error.message;
  const { code, ...fields } = error as Error & { readonly code?: unknown } & Readonly<Partial<Record<(typeof FIELDS)[number], unknown>>>;
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return stack;
  const known = FIELDS.filter((name) => typeof fields[name] === 'string').map((name) => `, ${name} ${fields[name] as string}`);
  const frames = stack.indexOf('\n    at ');
  return `${error.name}: SQLSTATE ${code}${known.join('')}${frames < 0 ? '' : stack.slice(frames)}`;
}
