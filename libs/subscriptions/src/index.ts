export { type ListOptions, listStatement } from './list-statement.js';
export { forgetIdempotencyKeys, makeListIndexes } from './maintenance.js';
export { EmailParam, PreferHeader, RequestContext, type WriteContext } from './request-context.js';
export { WRITE_ONE } from './subscription.commands.js';
export { SubscriptionView } from './subscription.dto.js';
export { READ_ONE } from './subscription.queries.js';
export { SubscriptionsModule } from './subscriptions.module.js';
export { EMAIL_RULE, EmailPipe, INSTANT_RULE, isAcceptableEmail, isInstant, isMetadata, METADATA } from './validators.js';
