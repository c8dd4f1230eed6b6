import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SubscriptionWriter, type WrittenSubscription } from './subscription-writer.js';
import type { WriteRequest } from './write-request.js';

/** Deletes the subscription. Fails with 404 when there is none, 412 for a precondition. */
export class DeleteSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly reason: string | undefined,
    readonly request: WriteRequest,
  ) {
    super();
  }
}

@CommandHandler(DeleteSubscriptionCommand)
export class DeleteSubscriptionHandler implements ICommandHandler<DeleteSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  execute({ email, reason, request }: DeleteSubscriptionCommand): Promise<WrittenSubscription> {
    return this.writer.write('delete', email, { reason }, request);
  }
}
