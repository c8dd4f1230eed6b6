export { findCaptureProblems } from './choose-capture.js';
export { decommission } from './decommission.js';
export { findSessionProblem } from './leader-lease.js';
export { purge } from './purge.js';
export { type Publishable, type Publisher, PublisherFactory } from './publisher.js';
export { eraseUnpublishable, Relay } from './relay.js';
export { readSyncStatus, type SyncStatus } from './sync-status.js';
export { SyncModule } from './sync.module.js';
export { LOG_KNOWS_ALL_ROWS, lockRows, mustCopyExistingRows, storeExistingRowsCopied } from './existing-rows.js';
