import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { RULE_CONTEXT } from '#http';
import { AcceptedStatuses } from './accepted-statuses.js';
import { Maintenance } from './maintenance.js';
import {
  CreateSubscriptionHandler,
  DeleteSubscriptionHandler,
  PatchSubscriptionHandler,
  PutSubscriptionHandler,
  SubscriptionWriter,
} from './subscription.commands.js';
import { GetSubscriptionHandler, ListSubscriptionsHandler } from './subscription.queries.js';
import { SubscriptionsController } from './subscriptions.controller.js';

/** Serves `/subscriptions` and its alias `/subscription_status`. Part of the api role. */
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
    Maintenance,
    AcceptedStatuses,
    { provide: RULE_CONTEXT, useExisting: AcceptedStatuses },
  ],
  exports: [AcceptedStatuses, RULE_CONTEXT],
})
export class SubscriptionsModule {}
