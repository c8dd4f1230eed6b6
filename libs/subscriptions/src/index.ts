export { listStatement, type ListOptions } from './list-statement.js';
export { SubscriptionsModule } from './subscriptions.module.js';
