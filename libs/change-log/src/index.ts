export { BEYOND_CHECKPOINT, clearCheckpointLsn, loadCheckpoint, storeCheckpoint, type StoredCheckpoint } from './checkpoint-store.js';
export { maintainPartitions, makePartitionsAhead, pruneLog } from './partitions.js';
export { BATCH, type Change, changedEmails, currentSnapshotText, readLog } from './reader.js';
export { BEGINNING, parseSnapshot, type Snapshot } from './snapshot.js';
