import { BadRequestException, Inject } from '@nestjs/common';
import { Query, QueryHandler, type IQueryHandler } from '@nestjs/cqrs';
import { DB1, type Database } from '#databases';
import { isStorable } from './storable-text.js';
import type { ListSubscriptions } from './subscription.dto.js';

const DEFAULT_LIMIT = 100;

/** A page of subscriptions in the order of their emails: JSON text of a SubscriptionPage. */
export class ListSubscriptionsQuery extends Query<string> {
  constructor(readonly options: ListSubscriptions) {
    super();
  }
}

@QueryHandler(ListSubscriptionsQuery)
export class ListSubscriptionsHandler implements IQueryHandler<ListSubscriptionsQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ options }: ListSubscriptionsQuery): Promise<string> {
    const limit = Number(options.limit ?? DEFAULT_LIMIT);
    const rows = await this.db1.query<{ email: string; body: string }>(
      `SELECT email, subscription_json(s) AS body FROM subscriptions s
       WHERE email > $1 AND ($2::text IS NULL OR status = $2) ORDER BY email LIMIT $3`,
      [decodeCursor(options.cursor), options.status ?? null, limit + 1],
    );
    const page = rows.slice(0, limit);
    const next = rows.length > limit ? encodeCursor(page.at(-1)!.email) : null;
    return `{"data":[${page.map(({ body }) => body).join(',')}],"next_cursor":${JSON.stringify(next)}}`;
  }
}

/** The last email of the page: stable under writes, since it need not exist any more. */
function encodeCursor(email: string): string {
  return Buffer.from(email).toString('base64url');
}

function decodeCursor(cursor: string | undefined): string {
  if (cursor === undefined) return '';
  const email = Buffer.from(cursor, 'base64url').toString();
  if (email === '' || encodeCursor(email) !== cursor || !isStorable(email)) {
    throw new BadRequestException({
      message: 'Unknown cursor',
      errors: [{ field: 'cursor', detail: 'must be a next_cursor of this list' }],
    });
  }
  return email;
}
