import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { DB1, type Database } from '#databases';
import { notFound } from './subscription.errors.js';
import type { StoredSubscription, WriteContext } from './write-context.js';

/** Deletes the subscription. Fails with 404 when there is none. */
export class DeleteSubscriptionCommand extends Command<void> {
  constructor(
    readonly email: string,
    readonly context: WriteContext,
  ) {
    super();
  }
}

@CommandHandler(DeleteSubscriptionCommand)
export class DeleteSubscriptionHandler implements ICommandHandler<DeleteSubscriptionCommand> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ email, context }: DeleteSubscriptionCommand): Promise<void> {
    const rows = await this.db1.query<StoredSubscription>('SELECT version, body FROM subscription_delete($1, $2)', [email, context]);
    if (rows.length === 0) throw notFound();
  }
}
