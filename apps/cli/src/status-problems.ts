import type { SyncStatus } from '#sync';
import { type ApplyStatus, failed, MAX_LAG_S, type StatusParts } from './status.js';

/** WAL (bytes) that a slot may keep. The alerts have the same limit. */
const MAX_RETAINED_BYTES = 5e9;

/** The judgement of a status: whether all is in order, and the problems that an operator should know first. */
export interface Assessment {
  readonly state: 'in_sync' | 'behind' | 'problem';
  readonly summary: string;
  /** A sentence for each problem. */
  readonly problems: readonly string[];
}

export function assess(parts: StatusParts): Assessment {
  const { sync, apply } = parts;
  const problems = [
    ...unreadable(parts),
    ...(sync && !failed(sync) ? captureProblems(sync) : []),
    ...(apply && !failed(apply) ? applyProblems(apply) : []),
    ...unresolved(parts),
  ];
  if (problems.length > 0) {
    return {
      state: 'problem',
      summary: problems.length === 1 ? 'There is a problem.' : `There are ${problems.length} problems.`,
      problems,
    };
  }
  const changes = sync && !failed(sync) ? sync.unpublished.changes : 0;
  const records = apply && !failed(apply) ? apply.records : 0;
  if (changes + records === 0) return { state: 'in_sync', summary: 'In order: nothing is on the way.', problems };
  const summary = `In order, with ${countOf(changes, 'change')} on the way to Kafka and ${countOf(records, 'record')} on the way to Database 2.`;
  return { state: 'behind', summary, problems };
}

/** Names the parts that cannot be read. What cannot be read because a database or Kafka is away is named once. */
function unreadable({ database1, database2, kafka, sync, apply, run }: StatusParts): string[] {
  const problems: string[] = [];
  if (failed(database1)) problems.push(`Database 1: ${database1.error}.`);
  else if (failed(sync)) problems.push(`The state of the capture cannot be read: ${sync.error}.`);
  else if (failed(run)) problems.push(`The runs cannot be read: ${run.error}.`);
  if (failed(database2)) problems.push(`Database 2: ${database2.error}.`);
  if (failed(kafka)) problems.push(`Kafka: ${kafka.error}.`);
  if (!failed(database2) && !failed(kafka) && failed(apply)) problems.push(`The state of the replica cannot be read: ${apply.error}.`);
  if (kafka && !failed(kafka) && kafka.partitions === 0) problems.push(`The topic ${kafka.topic} does not exist.`);
  return problems;
}

function captureProblems({ captured_by: capturedBy, slot, unpublished, unpublishable }: SyncStatus): string[] {
  const problems: string[] = [];
  if (capturedBy === null) problems.push('No process captures Database 1: start one with the role sync.');
  if (slot?.lost) problems.push(`The replication slot ${slot.name} is lost.`);
  if (slot && (slot.retained_bytes ?? 0) > MAX_RETAINED_BYTES) {
    problems.push(`Database 1 keeps ${formatBytes(slot.retained_bytes!)} of WAL for the replication slot ${slot.name}.`);
  }
  if (unpublished.seconds > MAX_LAG_S) problems.push(`The oldest change that is not on Kafka is ${Math.round(unpublished.seconds)} s old.`);
  if (unpublishable > 0) problems.push(`Kafka has refused ${countOf(unpublishable, 'change')} permanently.`);
  return problems;
}

function applyProblems({ late }: ApplyStatus): string[] {
  if (late === 0) return [];
  return [`Database 2 has not applied ${countOf(late, 'record')} of the topic for more than ${MAX_LAG_S} s.`];
}

/** Names what waits for an operator. */
function unresolved({ dead_letters: letters, run }: StatusParts): string[] {
  const problems: string[] = [];
  const open = letters === null || failed(letters) ? 0 : letters.open;
  if (open > 0) problems.push(`${countOf(open, 'dead letter')} ${open === 1 ? 'waits' : 'wait'} for a redrive or a discard.`);
  if (run && !failed(run) && (run.outcome === 'differs' || run.outcome === 'too_many')) {
    problems.push(`Run ${run.id} has left ${countOf(run.differing - run.repaired, 'row')} different.`);
  }
  return problems;
}

export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Formats a number of bytes: 512 B, 1.2 MB. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1_000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
