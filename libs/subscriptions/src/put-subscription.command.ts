import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SubscriptionWriter, type WrittenSubscription } from './subscription-writer.js';
import type { PutSubscription } from './subscription.dto.js';
import type { WriteRequest } from './write-request.js';

/** Creates the subscription or replaces all its fields. Fails with 409 for a status that may not follow, 412 for a precondition. */
export class PutSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly subscription: PutSubscription,
    readonly request: WriteRequest,
  ) {
    super();
  }
}

@CommandHandler(PutSubscriptionCommand)
export class PutSubscriptionHandler implements ICommandHandler<PutSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  execute({ email, subscription, request }: PutSubscriptionCommand): Promise<WrittenSubscription> {
    return this.writer.write('put', email, subscription, request);
  }
}
