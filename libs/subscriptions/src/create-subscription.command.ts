import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SubscriptionWriter, type WrittenSubscription } from './subscription-writer.js';
import type { CreateSubscription } from './subscription.dto.js';
import type { WriteRequest } from './write-request.js';

/** Creates a subscription. Fails with 409 when the email is taken. */
export class CreateSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly subscription: CreateSubscription,
    readonly request: WriteRequest,
  ) {
    super();
  }
}

@CommandHandler(CreateSubscriptionCommand)
export class CreateSubscriptionHandler implements ICommandHandler<CreateSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  /** The list has no entity tag: preconditions say nothing here. */
  async execute({ subscription, request }: CreateSubscriptionCommand): Promise<WrittenSubscription> {
    const { email, ...body } = subscription;
    return this.writer.write('create', email, body, { ...request, ifMatch: undefined, ifNoneMatch: undefined });
  }
}
