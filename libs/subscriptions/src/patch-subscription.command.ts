import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { DB1, type Database } from '#databases';
import type { PatchSubscription } from './subscription.dto.js';
import { notFound, toHttpError } from './subscription.errors.js';
import type { StoredSubscription, WriteContext } from './write-context.js';

/** Changes the fields that are given. A change that changes nothing writes nothing: the version stays. */
export class PatchSubscriptionCommand extends Command<StoredSubscription> {
  constructor(
    readonly email: string,
    readonly fields: PatchSubscription,
    readonly context: WriteContext,
  ) {
    super();
  }
}

@CommandHandler(PatchSubscriptionCommand)
export class PatchSubscriptionHandler implements ICommandHandler<PatchSubscriptionCommand> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ email, fields, context }: PatchSubscriptionCommand): Promise<StoredSubscription> {
    try {
      const rows = await this.db1.query<StoredSubscription>('SELECT version, body FROM subscription_patch($1, $2, $3)', [
        email,
        fields,
        context,
      ]);
      if (!rows[0]) throw notFound();
      return rows[0];
    } catch (error) {
      throw toHttpError(error);
    }
  }
}
