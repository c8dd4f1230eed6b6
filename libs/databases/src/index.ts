export { CANARY_EMAIL } from './canary.js';
export { APPLICATION_NAME, db1Options, db2Options } from './data-sources.js';
export { Database } from './database.js';
export { DB1, DB2, DatabasesModule } from './databases.module.js';
export { makePartitionsAhead, pruneLog } from './db1/log-partitions.js';
export { BEYOND_CHECKPOINT } from './db1/unpublished.sql.js';
export { prepared, queryPrepared, type PreparedStatement } from './prepared-statement.js';
export { DatabaseUnavailableError } from './unavailable.js';
export { withoutHurry } from './without-hurry.js';
