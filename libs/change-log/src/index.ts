export { BEYOND_CHECKPOINT, clearCheckpointLsn, loadCheckpoint, storeCheckpoint, type StoredCheckpoint } from './checkpoint-store.js';
export { maintainPartitions, makePartitionsAhead, pruneLog } from './partitions.js';
export { BATCH, type Change, changedEmails, currentSnapshot, readLog } from './reader.js';
export { BEGINNING, formatSnapshot, isVisible, parseSnapshot, type Snapshot } from './snapshot.js';
