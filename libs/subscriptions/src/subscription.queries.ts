import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { SETTINGS, type Settings } from '#config';
import { ROW_COLUMN_NAMES } from '#events';
import { type FieldError, limitOf, wrongFields } from '#http';
import {
  columnOf,
  type Database,
  DB1,
  fieldsOf,
  hasKey,
  oncePerTable,
  prepared,
  type PreparedStatement,
  rowJson,
  type SubscriptionTable,
} from '#postgres';
import { decodeCursor, encodeCursor, type ListedRow, listStatement } from './list-statement.js';
import type { ListSubscriptions } from './subscription.dto.js';
import { notFound, toHttpError } from './subscription.errors.js';

/** Returns the fields of a subscription in answers and exports. */
export function shownFields(table: SubscriptionTable, { mapping }: Settings): string[] {
  return fieldsOf(
    table,
    ROW_COLUMN_NAMES,
    mapping.columns?.map(({ db1 }) => db1),
  );
}

/**
 * Builds the statements that read a subscription by its email in any spelling. `exact` finds the row whose email is the normalised one; only
 * `otherwise` looks for the spelling of another program in the change log.
 */
export function readStatements(table: SubscriptionTable, fields: readonly string[]): Record<'exact' | 'otherwise', PreparedStatement> {
  const { sql, keyColumn } = table;
  const normalised = 'subscription_sync.normalize_email($1)';
  const select = (email: string): string =>
    `SELECT ${rowJson(table, fields, 's')} AS body FROM ${sql} s WHERE ${hasKey(table, 's', email)}`;
  return {
    exact: prepared(select(`${normalised}::${keyColumn.typeOfAnyLength}`)),
    otherwise: prepared(select(`subscription_sync.existing_key(${normalised})`)),
  };
}

/** Reads the JSON text of a subscription, as printed by the database, by its email in any spelling. Fails with 404. */
export class GetSubscriptionQuery extends Query<string> {
  constructor(readonly email: string) {
    super();
  }
}

@QueryHandler(GetSubscriptionQuery)
export class GetSubscriptionHandler implements IQueryHandler<GetSubscriptionQuery> {
  private readonly statements = oncePerTable((table) => readStatements(table, shownFields(table, this.settings)));

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  async execute({ email }: GetSubscriptionQuery): Promise<string> {
    const { exact, otherwise } = this.statements(this.db1.table);
    const found = (await this.find(exact, email)) ?? (await this.find(otherwise, email));
    if (!found) throw notFound(email);
    return found.body;
  }

  private async find(statement: PreparedStatement, email: string): Promise<{ readonly body: string } | undefined> {
    const [row] = await this.db1.queryPrepared<{ body: string }>(statement, [email]);
    return row;
  }
}

interface ListedPage {
  /** JSON text of a SubscriptionPage. */
  readonly body: string;
  readonly next: string | null;
}

/**
 * Reads a page of subscriptions. The pages are stable under writes: a subscription that exists all the time is on exactly one page.
 */
export class ListSubscriptionsQuery extends Query<ListedPage> {
  constructor(readonly options: ListSubscriptions) {
    super();
  }
}

@QueryHandler(ListSubscriptionsQuery)
export class ListSubscriptionsHandler implements IQueryHandler<ListSubscriptionsQuery> {
  private readonly fields = oncePerTable((table) => shownFields(table, this.settings));

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  async execute({ options }: ListSubscriptionsQuery): Promise<ListedPage> {
    const limit = limitOf(options);
    const sort = options.sort ?? 'email';
    const after = options.cursor === undefined ? undefined : decodeCursor(sort, options.cursor);
    const { table } = this.db1;
    refuseFilters(table, options);
    const { text, values } = listStatement(table, this.fields(table), Object.assign({}, options, { limit, sort, after }));
    const rows = await this.db1.query<ListedRow>(text, values).catch((error: unknown) => {
      throw toHttpError(error);
    });
    const found = rows.filter(({ body }) => body !== null);
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : rows.find(({ body }) => body === null);
    const next = last ? encodeCursor(sort, last.email) : null;
    return { body: `{"data":[${page.map(({ body }) => body).join(',')}],"next_cursor":${JSON.stringify(next)}}`, next };
  }
}

/** @throws ProblemException 400 for a filter that no row of the table can match. */
function refuseFilters(table: SubscriptionTable, { plan, status }: ListSubscriptions): void {
  const errors: FieldError[] = [];
  if (plan !== undefined && !columnOf(table, 'plan')) errors.push({ field: 'plan', detail: `is not a column of ${table.label}` });
  const { statuses } = table;
  if (statuses && status?.some((given) => !statuses.includes(given))) {
    errors.push({ field: 'status', detail: `must be one of ${statuses.join(', ')}` });
  }
  if (errors.length > 0) throw wrongFields(errors);
}
