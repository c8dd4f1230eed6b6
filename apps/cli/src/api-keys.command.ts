import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { type ApiKey, ApiKeys, KEY_NAME, type Sql } from '#auth';
import { ConfigurationError, type DatabaseSettings, readCommandSettings, readEnvironment } from '#config';
import { type Scope, SCOPES } from '#http';
import { APPLICATION_NAME } from '#postgres';

const USAGE = `API keys, in Database 1. A key is shown once, when it is made.

  npm run access -- create --name <who> --scopes <some of ${SCOPES.join(',')}> [--expires 90d]
  npm run access -- list
  npm run access -- rotate <id> [--overlap 1d]
  npm run access -- revoke <id>

Times are whole numbers of s, m, h or d. Without --expires a key is good for ever.
`;
const UNITS_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const LONGEST_S = 3_650 * 86_400;
const WHO = 'npm run access';
const PATIENCE_MS = 10_000;

/** A command that can't be done as it was given. */
class UsageError extends Error {}

/** Whoever can write to Database 1 can make keys: that is how the first one is made. Exits with 1 when it can't be done. */
try {
  process.stdout.write(await run(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`${describe(error)}\n`);
  process.exitCode = 1;
}

async function run(args: readonly string[]): Promise<string> {
  const { values, positionals } = parse(args);
  const [command, id] = positionals;
  switch (command) {
    case 'create': {
      const { name = '', scopes, expires } = values;
      if (!KEY_NAME.test(name)) throw new UsageError('--name must be 1 to 64 letters, digits, spaces or _ . : / -');
      const wanted = scopesOf(scopes);
      const expiresInS = expires === undefined ? undefined : secondsOf('--expires', expires);
      const made = await withKeys((keys) => keys.create(name, wanted, expiresInS, WHO));
      return shown(made.key, made);
    }
    case 'list':
      return (await withKeys((keys) => keys.list())).map((key) => `${lineOf(key)}\n`).join('') || 'There are no keys.\n';
    case 'rotate': {
      const overlapS = secondsOf('--overlap', values.overlap ?? '1d');
      const old = idOf(id);
      const next = await withKeys((keys) => keys.rotate(old, overlapS, WHO));
      if (!next) throw new UsageError(`No key ${old} is in use: it was never there, is revoked, has expired, or was rotated before`);
      return shown(next.key, next);
    }
    case 'revoke': {
      const old = idOf(id);
      if (!(await withKeys((keys) => keys.revoke(old)))) throw new UsageError(`There is no key ${old}`);
      return `Key ${old} is revoked: it is refused everywhere within 5 s.\n`;
    }
    case undefined:
      return USAGE;
    default:
      throw new UsageError(`There is no command "${command}".\n\n${USAGE}`);
  }
}

function parse(args: readonly string[]): { values: Record<string, string | undefined>; positionals: string[] } {
  const option = { type: 'string' } as const;
  try {
    const options = { name: option, scopes: option, expires: option, overlap: option };
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

async function withKeys<T>(work: (keys: ApiKeys) => Promise<T>): Promise<T> {
  const { db1 } = readCommandSettings(readEnvironment());
  const client = await connect(db1);
  const sql: Sql = { query: async <Row>(text: string, values?: unknown[]) => (await client.query(text, values)).rows as Row[] };
  try {
    return await work(new ApiKeys(sql));
  } finally {
    await client.end();
  }
}

async function connect({ host, port, user, password, database }: DatabaseSettings): Promise<Client> {
  const bounds = { connectionTimeoutMillis: PATIENCE_MS, query_timeout: PATIENCE_MS, options: '-c TimeZone=UTC' };
  const client = new Client({ host, port, user, password, database, application_name: APPLICATION_NAME, ...bounds });
  await client.connect();
  return client;
}

function scopesOf(text = ''): Scope[] {
  const words = text.split(',').map((word) => word.trim());
  const wrong = words.filter((word) => !SCOPES.some((scope) => scope === word));
  if (wrong.length > 0) throw new UsageError(`--scopes must list some of ${SCOPES.join(',')}, but has "${wrong.join('", "')}"`);
  return SCOPES.filter((scope) => words.includes(scope));
}

function secondsOf(option: string, text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (UNITS_S[unit ?? ''] ?? NaN);
  if (seconds >= 0 && seconds <= LONGEST_S) return seconds;
  throw new UsageError(`${option} must be a time such as 12h or 90d, 10 years at most, but is "${text}"`);
}

function idOf(text = ''): string {
  const id = text.replace(/^ssk_/, '');
  if (/^[0-9a-f]{16}$/.test(id)) return id;
  throw new UsageError('Name the key by its id, the 16 hexadecimal digits after ssk_');
}

/** The key alone on stdout's first line, so that a script can take it. */
function shown(key: string, view: ApiKey): string {
  return `${key}\n\n${lineOf(view)}\nKeep it now: it is not shown again. Send it as "Authorization: Bearer <key>".\n`;
}

function lineOf({ prefix, name, scopes, created_at, expires_at, revoked_at, last_used_at, replaced_by }: ApiKey): string {
  const day = (date: Date): string => date.toISOString().slice(0, 16).replace('T', ' ');
  return [
    prefix,
    name,
    scopes.join(','),
    `made ${day(created_at)}`,
    expires_at ? `${expires_at.getTime() > Date.now() ? 'expires' : 'expired'} ${day(expires_at)}` : 'for ever',
    last_used_at ? `used ${day(last_used_at)}` : 'never used',
    ...(revoked_at ? [`REVOKED ${day(revoked_at)}`] : []),
    ...(replaced_by === null ? [] : [`replaced by ssk_${replaced_by}`]),
  ].join('  ');
}

function describe(error: unknown): string {
  if (error instanceof ConfigurationError || error instanceof UsageError) return error.message;
  if ((error as { code?: string }).code === '42P01') {
    return 'Database 1 has no API keys yet: start the service once, it makes its tables';
  }
  return `Can't do that in Database 1: ${(error as Error).message}`;
}
