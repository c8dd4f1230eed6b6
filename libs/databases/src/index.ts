export { APPLICATION_NAME, db1Options, db2Options } from './data-sources.js';
export { Database } from './database.js';
export { DB1, DB2, DatabasesModule } from './databases.module.js';
export { forgetIdempotencyKeys } from './db1/idempotency-keys.js';
export { makeListIndexes } from './db1/list-indexes.js';
export { makePartitionsAhead, pruneLog } from './db1/log-partitions.js';
export { prepared, queryPrepared, type PreparedStatement } from './prepared-statement.js';
export { DatabaseUnavailableError } from './unavailable.js';
export { withoutHurry } from './without-hurry.js';
