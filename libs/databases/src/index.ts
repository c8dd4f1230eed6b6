export { APPLICATION_NAME, db1Options, db2Options } from './data-sources.js';
export { Database } from './database.js';
export { DB1, DB2, DatabasesModule } from './databases.module.js';
export { SubscriptionChange } from './db1/subscription-change.entity.js';
export { Subscription } from './db1/subscription.entity.js';
export { DatabaseUnavailableError } from './unavailable.js';
