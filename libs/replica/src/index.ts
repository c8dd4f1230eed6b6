export { IS_GENERATED, rowExpression } from './apply-statement.js';
export { ReplicaTable } from './replica-table.js';
export { ReplicaModule } from './replica.module.js';
export {
  appliedPositions,
  appliedVersion,
  correctPositions,
  isReplicaEmpty,
  readReplicaStates,
  replicaRowsByKey,
  type RowSource,
} from './replica-queries.js';
