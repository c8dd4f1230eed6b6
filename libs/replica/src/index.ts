export { eraseFromReplica } from './erase.js';
export { type DeadLetterView, ListDeadLetters, STATES, type RedriveFilter } from './dead-letter.dto.js';
export { DiscardDeadLetterCommand, RedriveDeadLetterCommand, RedriveDeadLettersCommand } from './dead-letters.commands.js';
export { DEAD_LETTER_PROVIDERS } from './dead-letters.providers.js';
export { GetDeadLetterQuery, ListDeadLettersQuery } from './dead-letters.queries.js';
export { rowExpression } from './apply-statement.js';
export { findBeyond, readReplicaStatus, type ReplicaStatus } from './replica-status.js';
export { ReplicaTable } from './replica-table.js';
export { replicatedColumns } from './replicated-columns.js';
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
  resetVersions,
  storeCapturedChange,
} from './replica-queries.js';
