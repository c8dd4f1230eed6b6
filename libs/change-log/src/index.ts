export { BEYOND_CHECKPOINT, clearCheckpointLsn, loadCheckpoint, storeCheckpoint, type StoredCheckpoint } from './checkpoint-store.js';
export { eraseChanges, newestVersion, versionsOf } from './erase.js';
export {
  advanceSequence,
  BYTES,
  countChangesAbove,
  findKnownChanges,
  findNeverDrawn,
  highestLoggedChange,
  lastDrawnVersion,
  neverDrawn,
  SELECT_CHECKPOINT,
  SELECT_HISTORY,
  SELECT_LOG_END,
  SELECT_TXID_AT,
  selectChange,
  selectFeedPage,
  selectNewestChange,
  selectNextChange,
  wasChangedWithin,
} from './log-queries.js';
export { createPartitionsAhead, maintainPartitions, pruneLog } from './partitions.js';
export { BATCH, type Change, changedEmails, changesSince, currentSnapshot, readLog, toChange } from './reader.js';
export { BEGINNING, formatSnapshot, isVisible, parseSnapshot, type Snapshot } from './snapshot.js';
