export { forgetIdempotencyKeys } from './db1/idempotency-keys.js';
export { makeListIndexes } from './db1/list-indexes.js';
