import { Injectable } from '@nestjs/common';
import { Option, SubCommand, Command } from 'nest-commander';
import { type ApiKey, ApiKeys, KEY_ID, KEY_NAME, type Sql } from '#auth';
import { readCommandSettings, readEnvironment } from '#config';
import { type Scope, SCOPES } from '#http';
import { commandClient, hasSqlstate, SQLSTATE } from '#postgres';
import { operator } from './operator.js';
import { CommandGroup, CommandWithJson, type JsonOptions, parseSeconds, UsageError } from './usage.js';

/** Timeout (ms) for connecting to Database 1, and for each statement. */
const DATABASE_TIMEOUT_MS = 10_000;
/** How long a rotated key stays valid (s), unless --overlap says otherwise. */
const OVERLAP_S = 86_400;

/** The API keys of Database 1. A program that may write to Database 1 may create keys: the first key is created this way. */
@Injectable()
class KeyStore {
  /** Calls `work` with a connection of its own. @throws Error with a message for the operator. */
  async use<T>(work: (keys: ApiKeys) => Promise<T>): Promise<T> {
    const client = commandClient(readCommandSettings(readEnvironment()).db1, DATABASE_TIMEOUT_MS);
    const sql: Sql = { query: async <Row>(text: string, values?: unknown[]) => (await client.query(text, values)).rows as Row[] };
    try {
      await client.connect();
      return await work(new ApiKeys(sql));
    } catch (error) {
      throw new Error(describeDatabaseError(error), { cause: error });
    } finally {
      await client.end();
    }
  }
}

function describeDatabaseError(error: unknown): string {
  if (hasSqlstate(error, SQLSTATE.undefinedTable)) {
    return 'Database 1 has no table of API keys yet: start the service once, which creates its tables';
  }
  return `The command failed in Database 1: ${(error as Error).message}`;
}

interface CreateOptions extends JsonOptions {
  readonly name?: string;
  readonly scopes?: Scope[];
  readonly expires?: number;
}

@SubCommand({ name: 'create', description: 'Create a key. It is shown once' })
class CreateKeyCommand extends CommandWithJson {
  constructor(private readonly store: KeyStore) {
    super();
  }

  async run(_: string[], { name = '', scopes = parseScopes(''), expires, json }: CreateOptions): Promise<void> {
    if (!KEY_NAME.test(name)) throw new UsageError('--name must be 1 to 64 letters, digits, spaces or _ . : / -');
    const made = await this.store.use((keys) => keys.create(name, scopes, expires, operator()));
    this.print(json, made, formatNewKey(made));
  }

  @Option({ flags: '--name <name>', description: 'who uses the key: 1 to 64 letters, digits, spaces or _ . : / -' })
  parseName(text: string): string {
    return text;
  }

  @Option({ flags: '--scopes <scopes>', description: `what the key allows: some of ${SCOPES.join(',')}` })
  parseScopes(text: string): Scope[] {
    return parseScopes(text);
  }

  @Option({ flags: '--expires <time>', description: 'when the key expires: a whole number of s, m, h or d, as in 90d; never by default' })
  parseExpires(text: string): number {
    return parseSeconds('--expires', text);
  }
}

/** Maximum number of keys that are listed. */
const MAX_LISTED = 1_000;

@SubCommand({ name: 'list', description: 'List the keys, without their secrets' })
class ListKeysCommand extends CommandWithJson {
  constructor(private readonly store: KeyStore) {
    super();
  }

  async run(_: string[], { json }: JsonOptions): Promise<void> {
    const keys = await this.store.use((store) => store.list(MAX_LISTED + 1));
    for (const key of keys.slice(0, MAX_LISTED)) this.print(json, key, formatKey(key));
    if (keys.length === 0) this.note(json, 'There are no keys.');
    if (keys.length > MAX_LISTED) this.note(json, 'Older keys are not listed: GET /access/keys lists all of them.');
  }
}

@SubCommand({ name: 'rotate', arguments: '[id]', description: 'Create a key that replaces another, which stays valid for a while' })
class RotateKeyCommand extends CommandWithJson {
  constructor(private readonly store: KeyStore) {
    super();
  }

  async run([text]: string[], { overlap = OVERLAP_S, json }: JsonOptions & { readonly overlap?: number }): Promise<void> {
    const id = parseId(text);
    const next = await this.store.use((keys) => keys.rotate(id, overlap, operator()));
    if (!next) throw new Error(`No key ${id} is in use: it does not exist, is revoked, has expired, or was rotated before`);
    this.print(json, next, formatNewKey(next));
  }

  @Option({ flags: '--overlap <time>', description: 'how long the old key stays valid: a whole number of s, m, h or d; 1d by default' })
  parseOverlap(text: string): number {
    return parseSeconds('--overlap', text);
  }
}

@SubCommand({ name: 'revoke', arguments: '[id]', description: 'Revoke a key' })
class RevokeKeyCommand extends CommandWithJson {
  constructor(private readonly store: KeyStore) {
    super();
  }

  async run([text]: string[], { json }: JsonOptions): Promise<void> {
    const id = parseId(text);
    if (!(await this.store.use((keys) => keys.revoke(id, operator())))) throw new Error(`There is no key ${id}`);
    this.print(json, { id, revoked: true }, `Key ${id} is revoked: it is refused everywhere within 5 s.`);
  }
}

@SubCommand({ name: 'keep', arguments: '[id]', description: 'Make a key valid that was made while access was open' })
class KeepKeyCommand extends CommandWithJson {
  constructor(private readonly store: KeyStore) {
    super();
  }

  async run([text]: string[], { json }: JsonOptions): Promise<void> {
    const id = parseId(text);
    if (!(await this.store.use((keys) => keys.keep(id, operator()))))
      throw new Error(`No key ${id} was made while access was open: there is nothing to keep`);
    this.print(json, { id, kept: true }, `Key ${id} is kept: it is valid everywhere within 5 s, unless it is revoked or has expired.`);
  }
}

@Command({
  name: 'keys',
  description: 'API keys, which are kept in Database 1',
  subCommands: [CreateKeyCommand, ListKeysCommand, RotateKeyCommand, RevokeKeyCommand, KeepKeyCommand],
})
class KeysCommand extends CommandGroup {}

/** The command `keys` with its sub-commands. */
export const KEY_COMMANDS = [KeyStore, KeysCommand, CreateKeyCommand, ListKeysCommand, RotateKeyCommand, RevokeKeyCommand, KeepKeyCommand];

function parseScopes(text: string): Scope[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !SCOPES.some((scope) => scope === name));
  if (unknown.length > 0) throw new UsageError(`--scopes must list some of ${SCOPES.join(',')}, but has "${unknown.join('", "')}"`);
  return SCOPES.filter((scope) => names.includes(scope));
}

function parseId(text = ''): string {
  const id = text.replace(/^ssk_/, '');
  if (KEY_ID.test(id)) return id;
  throw new UsageError('Name the key by its id, the 16 hexadecimal digits after ssk_');
}

/** The key is alone on the first line, so that a script can read it. */
function formatNewKey({ key, ...view }: ApiKey & { readonly key: string }): string {
  return `${key}\n\n${formatKey(view)}\nKeep it now: it is not shown again. Send it as "Authorization: Bearer <key>".`;
}

function formatKey({
  prefix,
  name,
  scopes,
  created_at,
  expires_at,
  revoked_at,
  last_used_at,
  replaced_by,
  created_in_open_mode,
  kept_at,
}: ApiKey): string {
  const minute = (date: Date): string => date.toISOString().slice(0, 16).replace('T', ' ');
  return [
    prefix,
    name,
    scopes.join(','),
    `made ${minute(created_at)}`,
    expires_at ? `${expires_at.getTime() > Date.now() ? 'expires' : 'expired'} ${minute(expires_at)}` : 'for ever',
    last_used_at ? `used ${minute(last_used_at)}` : 'never used',
    ...(revoked_at ? [`REVOKED ${minute(revoked_at)}`] : []),
    ...(created_in_open_mode ? [kept_at ? `made in open mode, kept ${minute(kept_at)}` : 'made in open mode, NOT KEPT'] : []),
    ...(replaced_by === null ? [] : [`replaced by ssk_${replaced_by}`]),
  ].join('  ');
}
