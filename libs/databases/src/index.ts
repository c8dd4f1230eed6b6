export { forgetIdempotencyKeys } from './db1/idempotency-keys.js';
export { makeListIndexes } from './db1/list-indexes.js';
export { makePartitionsAhead, pruneLog } from './db1/log-partitions.js';
export { BEYOND_CHECKPOINT } from './db1/unpublished.sql.js';
