import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SubscriptionWriter, type WrittenSubscription } from './subscription-writer.js';
import type { PatchSubscription } from './subscription.dto.js';
import type { WriteRequest } from './write-request.js';

/**
 * Changes the fields that are given; `metadata` member by member (RFC 7396). A change that changes nothing writes nothing: the version
 * stays. Fails with 404, with 409 for a status that may not follow, 412 for a precondition.
 */
export class PatchSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly fields: PatchSubscription,
    readonly request: WriteRequest,
  ) {
    super();
  }
}

@CommandHandler(PatchSubscriptionCommand)
export class PatchSubscriptionHandler implements ICommandHandler<PatchSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  execute({ email, fields, request }: PatchSubscriptionCommand): Promise<WrittenSubscription> {
    return this.writer.write('patch', email, fields, request);
  }
}
