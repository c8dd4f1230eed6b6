export { AcceptedStatuses, statusRule } from './accepted-statuses.js';
export { type ListOptions, listStatement } from './list-statement.js';
export { deleteOldIdempotencyKeys, eraseFromIdempotencyKeys } from './maintenance.js';
export { ReplicaWaiting } from './replica-waiting.js';
export {
  disconnectSignal,
  EmailParam,
  etagOf,
  preferredWait,
  PreferHeader,
  RequestContext,
  type SubscriptionRequestContext,
} from './request-context.js';
export { WRITE_ONE } from './subscription.commands.js';
export { CreateSubscription, SubscriptionView } from './subscription.dto.js';
export { missingColumn, notWritable } from './subscription.errors.js';
export { readStatements, shownFields } from './subscription.queries.js';
export { SubscriptionsModule } from './subscriptions.module.js';
export { EMAIL_RULE, EmailPipe, INSTANT_RULE, isAcceptableEmail, isInstant, isMetadata, METADATA, normaliseEmail } from './validators.js';
