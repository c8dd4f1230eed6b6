export { EmailParam, PreferHeader } from './api-parameters.js';
export { EMAIL_RULE, EmailPipe, isAcceptableEmail } from './email.js';
export { INSTANT_RULE, isInstant } from './instant.js';
export { listStatement, type ListOptions } from './list-statement.js';
export { METADATA, isMetadata } from './metadata.js';
export { SubscriptionView } from './subscription.dto.js';
export { Write, type WriteRequest } from './write-request.js';
export { SubscriptionsModule } from './subscriptions.module.js';
