export { ReplicaTable } from './replica-table.js';
export { ReplicaModule } from './replica.module.js';
export { appliedPositions, correctPositions, isReplicaEmpty, REPLICA_TABLE_NAME, selectReplicaRows } from './replica-queries.js';
