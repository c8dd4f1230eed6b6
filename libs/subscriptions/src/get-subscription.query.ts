import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type Database, DB1, prepared } from '#postgres';
import { notFound } from './subscription.errors.js';

/** A row as read: its JSON text as the database printed it, and its version. */
export interface StoredSubscription {
  readonly version: number;
  readonly body: string;
}

/** By email, however it is spelled. */
export const READ_ONE = prepared('SELECT version, subscription_json(s) AS body FROM subscriptions s WHERE email = subscription_email($1)');

/** One subscription by its email, however it is spelled. Fails with 404. */
export class GetSubscriptionQuery extends Query<StoredSubscription> {
  constructor(readonly email: string) {
    super();
  }
}

@QueryHandler(GetSubscriptionQuery)
export class GetSubscriptionHandler implements IQueryHandler<GetSubscriptionQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ email }: GetSubscriptionQuery): Promise<StoredSubscription> {
    const rows = await this.db1.queryPrepared<StoredSubscription>(READ_ONE, [email]);
    if (!rows[0]) throw notFound();
    return rows[0];
  }
}
