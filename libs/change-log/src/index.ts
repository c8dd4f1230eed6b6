export { BEYOND_CHECKPOINT, forgetPlaceInWal, loadCheckpoint, storeCheckpoint, type StoredCheckpoint } from './checkpoint-store.js';
export { keepLog, makePartitionsAhead, pruneLog } from './partitions.js';
export { BATCH, type Change, changedEmails, currentSnapshotText, readLog } from './reader.js';
export { BEGINNING, parseSnapshot, type Snapshot } from './snapshot.js';
