import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { limitOf } from '#http';
import { type Database, DB1, prepared } from '#postgres';
import { decodeCursor, encodeCursor, type ListedRow, listStatement } from './list-statement.js';
import type { ListSubscriptions } from './subscription.dto.js';
import { notFound, toHttpError } from './subscription.errors.js';

/** Selects a subscription by its email in any spelling that DB1 normalises to the same key. */
export const READ_ONE = prepared(
  'SELECT subscription_sync.row_json(s) AS body FROM subscriptions s WHERE email = subscription_sync.normalize_email($1)',
);

/** Reads the JSON text of a subscription, as printed by the database, by its email in any spelling. Fails with 404. */
export class GetSubscriptionQuery extends Query<string> {
  constructor(readonly email: string) {
    super();
  }
}

@QueryHandler(GetSubscriptionQuery)
export class GetSubscriptionHandler implements IQueryHandler<GetSubscriptionQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ email }: GetSubscriptionQuery): Promise<string> {
    const rows = await this.db1.queryPrepared<{ body: string }>(READ_ONE, [email]);
    if (!rows[0]) throw notFound();
    return rows[0].body;
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
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ options }: ListSubscriptionsQuery): Promise<ListedPage> {
    const limit = limitOf(options);
    const sort = options.sort ?? 'email';
    const after = options.cursor === undefined ? undefined : decodeCursor(sort, options.cursor);
    const { text, values } = listStatement(Object.assign({}, options, { limit, sort, after }));
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
