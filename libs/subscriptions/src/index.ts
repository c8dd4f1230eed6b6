export { EMAIL_RULE, EmailPipe, isAcceptableEmail } from './email.js';
export { isInstant } from './instant.js';
export { METADATA, isMetadata } from './metadata.js';
export { STATUSES } from './status.js';
export { isStorable } from './storable-text.js';
export { SubscriptionView } from './subscription.dto.js';
export { SubscriptionsModule } from './subscriptions.module.js';
export { writeContext, type WriteContext } from './write-context.js';
