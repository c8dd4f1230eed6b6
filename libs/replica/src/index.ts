export { IS_GENERATED, rowExpression } from './apply-statement.js';
export { ReplicaTable } from './replica-table.js';
export { ReplicaModule } from './replica.module.js';
export {
  appliedAbove,
  appliedLately,
  appliedPositions,
  appliedVersion,
  capturedChange,
  correctPositions,
  forgetCapturedChange,
  forgetLately,
  isReplicaEmpty,
  readReplicaStates,
  replaceHighest,
  replicaRowsByKey,
  resetVersions,
  type RowSource,
  storeCapturedChange,
} from './replica-queries.js';
