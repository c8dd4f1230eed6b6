import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { DB1, type Database } from '#databases';
import type { PutSubscription } from './subscription.dto.js';
import { toHttpError } from './subscription.errors.js';
import type { StoredSubscription, WriteContext } from './write-context.js';

export interface PutResult extends StoredSubscription {
  readonly created: boolean;
}

/** Creates the subscription or replaces all its fields. */
export class PutSubscriptionCommand extends Command<PutResult> {
  constructor(
    readonly email: string,
    readonly subscription: PutSubscription,
    readonly context: WriteContext,
  ) {
    super();
  }
}

@CommandHandler(PutSubscriptionCommand)
export class PutSubscriptionHandler implements ICommandHandler<PutSubscriptionCommand> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ email, subscription, context }: PutSubscriptionCommand): Promise<PutResult> {
    try {
      const rows = await this.db1.query<PutResult>('SELECT version, body, created FROM subscription_put($1, $2, $3)', [
        email,
        subscription,
        context,
      ]);
      return rows[0]!;
    } catch (error) {
      throw toHttpError(error);
    }
  }
}
