import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { DB1, type Database } from '#databases';
import type { CreateSubscription } from './subscription.dto.js';
import { toHttpError } from './subscription.errors.js';
import type { StoredSubscription, WriteContext } from './write-context.js';

/** Creates a subscription. Fails with 409 when the email is taken. */
export class CreateSubscriptionCommand extends Command<StoredSubscription> {
  constructor(
    readonly subscription: CreateSubscription,
    readonly context: WriteContext,
  ) {
    super();
  }
}

@CommandHandler(CreateSubscriptionCommand)
export class CreateSubscriptionHandler implements ICommandHandler<CreateSubscriptionCommand> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ subscription, context }: CreateSubscriptionCommand): Promise<StoredSubscription> {
    const { email, ...fields } = subscription;
    try {
      const rows = await this.db1.query<StoredSubscription>('SELECT version, body FROM subscription_create($1, $2, $3)', [
        email,
        fields,
        context,
      ]);
      return rows[0]!;
    } catch (error) {
      throw toHttpError(error);
    }
  }
}
