import { ApplyChanges } from './apply-changes.js';
import {
  DeadLetterRedriver,
  DiscardDeadLetterHandler,
  RedriveDeadLetterHandler,
  RedriveDeadLettersHandler,
} from './dead-letters.commands.js';
import { GetDeadLetterHandler, ListDeadLettersHandler } from './dead-letters.queries.js';
import { ReplicaMetrics } from './replica-metrics.js';
import { ReplicaTable } from './replica-table.js';

/** Providers that apply changes and execute the commands and queries of dead letters, in the replica role and in the command line. */
export const DEAD_LETTER_PROVIDERS = [
  ApplyChanges,
  ReplicaTable,
  ReplicaMetrics,
  DeadLetterRedriver,
  RedriveDeadLetterHandler,
  RedriveDeadLettersHandler,
  DiscardDeadLetterHandler,
  ListDeadLettersHandler,
  GetDeadLetterHandler,
];
