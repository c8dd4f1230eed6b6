import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CommandBus, CqrsModule, QueryBus } from '@nestjs/cqrs';
import { Command, Option, SubCommand } from 'nest-commander';
import { Registry } from 'prom-client';
import { DataSource } from 'typeorm';
import { AuditLog } from '#audit';
import { type DatabaseSettings, DEFAULT_TIMINGS, readEnvironment, readMigrationSettings, SETTINGS, TIMINGS } from '#config';
import { Database, DB1, db1ConnectionOptions, DB2, db2ConnectionOptions } from '#postgres';
import {
  DEAD_LETTER_PROVIDERS,
  type DeadLetterView,
  DiscardDeadLetterCommand,
  GetDeadLetterQuery,
  ListDeadLetters,
  ListDeadLettersQuery,
  RedriveDeadLetterCommand,
  RedriveDeadLettersCommand,
  type RedriveFilter,
  STATES,
} from '#replica';
import { operator } from './operator.js';
import { CommandGroup, CommandWithJson, EXIT_CODES, type JsonOptions, parseWholeNumber, UsageError } from './usage.js';

const ANY_STATE = 'any';
const MAX_PARTITION = 999_999_999;
/** Number of dead letters that `list` prints, unless `--limit` says otherwise. */
const LISTED = 100;
const MAX_LISTED = 500;

interface Buses {
  readonly commands: CommandBus;
  readonly queries: QueryBus;
}

@Module({})
class DeadLettersModule {}

/** The dead letters of Database 2. The command line executes the commands and queries of the API; acts are recorded in Database 1 if it is set. */
@Injectable()
class DeadLetterStore {
  async use<T>(work: (buses: Buses) => Promise<T>): Promise<T> {
    const settings = readMigrationSettings(readEnvironment());
    if (!settings.db2) throw new Error('DB2_HOST or DB2_URL is required: dead letters are in Database 2');
    const databases: Database[] = [];
    try {
      databases.push(await connect(DB2, settings.db2));
      if (settings.db1) databases.push(await connect(DB1, settings.db1));
      const app = await NestFactory.createApplicationContext(
        {
          module: DeadLettersModule,
          imports: [CqrsModule],
          providers: [
            ...databases.map((database) => ({ provide: database.name, useValue: database })),
            { provide: SETTINGS, useValue: settings },
            { provide: TIMINGS, useValue: DEFAULT_TIMINGS },
            { provide: Registry, useValue: new Registry() },
            AuditLog,
            ...DEAD_LETTER_PROVIDERS,
          ],
        },
        { logger: ACTS_ON_STDERR, abortOnError: false },
      );
      return await work({ commands: app.get(CommandBus), queries: app.get(QueryBus) });
    } finally {
      await Promise.all(databases.map(({ dataSource }) => dataSource.destroy()));
    }
  }
}

/** Without Database 1, the audit log writes acts to the process's log. */
const ACTS_ON_STDERR = {
  log({ message }: { readonly message: string }, context?: string): void {
    if (context === 'audit') process.stderr.write(`${message}\n`);
  },
  warn: () => undefined,
  error: () => undefined,
};

async function connect(name: typeof DB1 | typeof DB2, settings: DatabaseSettings): Promise<Database> {
  const options = (name === DB1 ? db1ConnectionOptions : db2ConnectionOptions)({ ...settings, poolSize: 1 });
  try {
    return await Database.connected(name, new DataSource(options), DEFAULT_TIMINGS.postgres);
  } catch (error) {
    throw new Error(`Database ${name === DB1 ? 1 : 2} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

interface FilterOptions extends JsonOptions {
  readonly errorClass?: string;
  readonly partition?: number;
}

/** A command for the dead letters that match a filter. */
abstract class FilterCommand extends CommandWithJson {
  @Option({ flags: '--error-class <class>', description: 'only those with this reason, such as 22001 or not-json' })
  parseErrorClass(text: string): string {
    return text;
  }

  @Option({ flags: '--partition <number>', description: 'only those of this partition of the topic' })
  parsePartition(text: string): number {
    return text === '0' ? 0 : parseWholeNumber('--partition', text, MAX_PARTITION);
  }
}

function filterOf({ errorClass, partition }: FilterOptions): RedriveFilter {
  return {
    ...(errorClass === undefined ? {} : { error_class: errorClass }),
    ...(partition === undefined ? {} : { partition: String(partition) }),
  };
}

interface ListOptions extends FilterOptions {
  readonly state?: string;
  readonly limit?: number;
}

@SubCommand({ name: 'list', description: 'List dead letters, the oldest first, without their content' })
class ListDeadLettersCommand extends FilterCommand {
  constructor(private readonly store: DeadLetterStore) {
    super();
  }

  async run(_: string[], { state = 'open', limit = LISTED, json, ...filter }: ListOptions): Promise<void> {
    const options = Object.assign(new ListDeadLetters(), filterOf(filter), state === ANY_STATE ? {} : { state }, { limit: String(limit) });
    const { data, next_cursor: next } = await this.store.use(({ queries }) => queries.execute(new ListDeadLettersQuery(options)));
    for (const letter of data) this.print(json, letter, formatLetter(letter));
    if (data.length === 0) this.note(json, 'There are no such dead letters.');
    if (next !== null) this.note(json, `There are more than ${limit}: use a filter, or --limit up to ${MAX_LISTED}.`);
  }

  @Option({ flags: '--state <state>', description: 'only those in this state; open by default', choices: [...STATES, ANY_STATE] })
  parseState(text: string): string {
    if ([...STATES, ANY_STATE].includes(text)) return text;
    throw new UsageError(`--state must be one of ${[...STATES, ANY_STATE].join(', ')}, but is "${text}"`);
  }

  @Option({ flags: '--limit <number>', description: `how many to list: ${LISTED} by default, ${MAX_LISTED} at most` })
  parseLimit(text: string): number {
    return parseWholeNumber('--limit', text, MAX_LISTED);
  }
}

@SubCommand({ name: 'show', arguments: '[id]', description: 'Show a dead letter' })
class ShowDeadLetterCommand extends CommandWithJson {
  constructor(private readonly store: DeadLetterStore) {
    super();
  }

  async run([id]: string[], { content = false, json }: JsonOptions & { readonly content?: boolean }): Promise<void> {
    const query = new GetDeadLetterQuery(parseId(id), content);
    const { key, value, encoding, ...letter } = await this.store.use(({ queries }) => queries.execute(query));
    const record = encoding === undefined ? '' : `\n  key (${encoding}): ${key ?? 'none'}\n  value (${encoding}): ${value ?? 'none'}`;
    this.print(json, content ? { ...letter, encoding, key, value } : letter, formatLetter(letter) + record);
  }

  @Option({ flags: '--content', description: 'also the key and the value of the record, which hold personal data' })
  parseContent(): boolean {
    return true;
  }
}

@SubCommand({
  name: 'redrive',
  arguments: '[id]',
  description: 'Try to apply a dead letter again, or all open ones. It cannot undo a newer change. Exit code 1: some failed again',
})
class RedriveCommand extends FilterCommand {
  constructor(private readonly store: DeadLetterStore) {
    super();
  }

  async run([id]: string[], { all = false, json, ...filter }: FilterOptions & { readonly all?: boolean }): Promise<void> {
    if (all === (id !== undefined)) throw new UsageError('Name the id of a dead letter, or --all');
    if (id !== undefined && Object.keys(filter).length > 0) throw new UsageError('--error-class and --partition are for --all');
    await this.store.use(async ({ commands }) => {
      if (id === undefined) {
        const { applied, superseded, failed } = await commands.execute(new RedriveDeadLettersCommand(filterOf(filter), operator()));
        const text = `${applied} applied, ${superseded} superseded by newer changes, ${failed} failed again`;
        this.print(json, { applied, superseded, failed }, text);
        if (failed > 0) process.exitCode = EXIT_CODES.problem;
        return;
      }
      const result = await commands.execute(new RedriveDeadLetterCommand(parseId(id), operator()));
      this.print(json, result, `dead letter ${result.id}: ${result.error ?? result.outcome}`);
      if (result.outcome === 'failed') process.exitCode = EXIT_CODES.problem;
    });
  }

  @Option({ flags: '--all', description: 'all open dead letters, or those that match the other options' })
  parseAll(): boolean {
    return true;
  }
}

@SubCommand({ name: 'discard', arguments: '[id]', description: 'Mark a dead letter as not to be applied. Its content stays stored' })
class DiscardCommand extends CommandWithJson {
  constructor(private readonly store: DeadLetterStore) {
    super();
  }

  async run([id]: string[], { json }: JsonOptions): Promise<void> {
    const command = new DiscardDeadLetterCommand(parseId(id), operator());
    const letter = await this.store.use(({ commands }) => commands.execute(command));
    this.print(json, letter, formatLetter(letter));
  }
}

function parseId(text: string | undefined): number {
  if (text === undefined) throw new UsageError('Name the id of a dead letter: dead-letters list shows them');
  return parseWholeNumber('ID', text, Number.MAX_SAFE_INTEGER);
}

function formatLetter({ id, state, error_class, error, topic, partition, offset, redrives, created_at }: DeadLetterView): string {
  return `${id}  ${state}  ${error_class}  ${topic}[${partition}]@${offset}  ${created_at}  redrives ${redrives}  ${error}`;
}

const SUB_COMMANDS = [ListDeadLettersCommand, ShowDeadLetterCommand, RedriveCommand, DiscardCommand];

@Command({ name: 'dead-letters', description: 'Records that could not be applied to Database 2', subCommands: SUB_COMMANDS })
class DeadLettersCommand extends CommandGroup {}

/** The command `dead-letters` with its sub-commands. */
export const DEAD_LETTER_COMMANDS = [DeadLetterStore, DeadLettersCommand, ...SUB_COMMANDS];
