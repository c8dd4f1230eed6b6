import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { CreateSubscriptionHandler } from './create-subscription.command.js';
import { DeleteSubscriptionHandler } from './delete-subscription.command.js';
import { GetSubscriptionHandler } from './get-subscription.query.js';
import { ListSubscriptionsHandler } from './list-subscriptions.query.js';
import { PatchSubscriptionHandler } from './patch-subscription.command.js';
import { PutSubscriptionHandler } from './put-subscription.command.js';
import { SubscriptionWriter } from './subscription-writer.js';
import { SubscriptionsController } from './subscriptions.controller.js';
import { Upkeep } from './upkeep.js';

/** The api role: `/subscriptions` and its alias `/subscription_status`. */
@Module({
  imports: [CqrsModule],
  controllers: [SubscriptionsController],
  providers: [
    CreateSubscriptionHandler,
    PutSubscriptionHandler,
    PatchSubscriptionHandler,
    DeleteSubscriptionHandler,
    GetSubscriptionHandler,
    ListSubscriptionsHandler,
    SubscriptionWriter,
    Upkeep,
  ],
})
export class SubscriptionsModule {}
