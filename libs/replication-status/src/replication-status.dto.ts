import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { INT32, INT64, NUMBER_OF_QUERY } from '#http';

/**
 * - `in_sync`: both databases have the same version and values.
 * - `in_flight`: the change is on its way to Database 2, and nothing is known to block it.
 * - `dead_lettered`: the record of the change was dead-lettered. An operator redrives it, or a newer change replaces it.
 * - `drifted`: the databases differ and no change is on its way. Reconciliation repairs the difference.
 * - `unknown`: this process is not connected to Database 2, or Database 2 does not respond.
 */
const REPLICATION_STATES = ['in_sync', 'in_flight', 'dead_lettered', 'drifted', 'unknown'] as const;
export type ReplicationState = (typeof REPLICATION_STATES)[number];

/** State of an email in one database. */
export interface Side {
  /** 0 for a row that is older than the change log. */
  readonly version: number;
  /** Whether the row exists; otherwise it was deleted, in DB2 perhaps by another program. */
  readonly live: boolean;
  /** Values of the row as text; null when there is none. */
  readonly content: string | null;
}

interface ReplicationFacts {
  /** Undefined when the database has neither the row nor its deletion. */
  readonly db1: Side | undefined;
  readonly db2: Side | undefined;
  /** Whether the record with DB1's version was dead-lettered or could not be published. */
  readonly deadLettered: boolean;
  /** Whether everything that was on Kafka with the change is applied, or a reconciliation run has found the difference. */
  readonly passed: boolean;
}

/** Determines the state. DB2 must be read before DB1, so that it cannot have a version that DB1 did not have when it was read. */
export function replicationState({ db1, db2, deadLettered, passed }: ReplicationFacts): ReplicationState {
  if (!db1) return db2?.live ? 'drifted' : 'in_sync';
  const version = db2?.version ?? 0;
  if (db1.version > version) return deadLettered ? 'dead_lettered' : passed ? 'drifted' : 'in_flight';
  // A row that is older than the change log: its first change is recorded soon.
  if (db1.version === 0) return 'in_flight';
  return version === db1.version && db1.live === db2?.live && db1.content === db2.content ? 'in_sync' : 'drifted';
}

class Database1View {
  @ApiProperty({ ...INT64, example: 42, description: 'Version of the last change' })
  version!: number;

  @ApiProperty({ example: false, description: 'Whether the subscription was deleted' })
  deleted!: boolean;

  @ApiProperty({
    type: String,
    nullable: true,
    example: 'updated',
    description: 'Operation of the last change; null when the change log no longer contains it',
  })
  operation!: string | null;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2026-11-02T10:00:00.5+00:00',
    description: 'Time of the last change',
  })
  changed_at!: string | null;
}

class Database2View {
  @ApiProperty({
    ...INT64,
    example: 41,
    description: 'Version of the last change that Database 2 has; 0 for a row that did not come from a change',
  })
  version!: number;

  @ApiProperty({ example: false, description: 'Whether Database 2 has no row of the subscription' })
  deleted!: boolean;
}

class PublishedView {
  @ApiProperty({
    type: String,
    nullable: true,
    example: 'subscription-events',
    description: 'Topic of the change; null when this process is not connected to Kafka',
  })
  topic!: string | null;

  @ApiProperty({ ...INT32, nullable: true, example: 3, description: 'Partition of the subscription; null when it is not known' })
  partition!: number | null;

  @ApiProperty({ ...INT64, nullable: true, example: null, description: 'Offset of the change; only known for a dead letter' })
  offset!: number | null;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2026-11-02T10:00:00.52+00:00',
    description: 'Time by which the change was on Kafka; null when it was published only a moment ago',
  })
  at_latest!: string | null;
}

/** Progress of the replica in the partition of the subscription. */
export class AppliedView {
  @ApiProperty({ ...INT64, example: 1240, description: 'Offset of the last applied record of the partition' })
  offset!: number;

  @ApiProperty({ ...INT64, example: 57, description: 'Highest applied version of any subscription in the partition' })
  version!: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-02T10:00:00.51+00:00', description: 'Time at which that record was applied' })
  applied_at!: string;
}

/** Reference to a dead letter; /dead-letters has the record itself. */
export class DeadLetterReference {
  @ApiProperty({ ...INT64, example: 7, description: 'Id of the dead letter' })
  id!: number;

  @ApiProperty({ example: '22001', description: 'Class of the error, such as an SQLSTATE' })
  error_class!: string;

  @ApiProperty({ example: 'subscription-events', description: 'Topic of the record' })
  topic!: string;

  @ApiProperty({ ...INT32, example: 3, description: 'Partition of the record' })
  partition!: number;

  @ApiProperty({ ...INT64, example: 1234, description: 'Offset of the record' })
  offset!: number;
}

/** Replication status of the last change of a subscription. */
export class ReplicationView {
  @ApiProperty({ format: 'email', example: 'ada@example.com', description: 'Email of the subscription' })
  email!: string;

  @ApiProperty({
    enum: REPLICATION_STATES,
    example: 'in_flight',
    description:
      '`in_sync`: both databases are equal. `in_flight`: the change is on its way. `dead_lettered`: the change could not be applied or published. ' +
      '`drifted`: the databases differ and no change is on its way. `unknown`: Database 2 cannot be queried',
  })
  state!: ReplicationState;

  @ApiProperty({ example: 'The change is on its way to Database 2', description: 'Explanation of the state' })
  detail!: string;

  @ApiProperty({
    type: Database1View,
    nullable: true,
    description: 'State in Database 1; null when Database 1 has no trace of the subscription',
  })
  database1!: Database1View | null;

  @ApiProperty({
    type: Database2View,
    nullable: true,
    description: 'State in Database 2; null when it has no trace of the subscription or cannot be queried',
  })
  database2!: Database2View | null;

  @ApiProperty({ type: PublishedView, nullable: true, description: 'Location of the change on Kafka; null until it is known to be there' })
  published!: PublishedView | null;

  @ApiProperty({
    type: AppliedView,
    nullable: true,
    description: 'How far the partition of the subscription is applied; null when this is not known',
  })
  applied!: AppliedView | null;

  @ApiProperty({
    ...INT64,
    nullable: true,
    example: 12,
    description: 'Milliseconds since the first change that Database 2 lacks; 0 when both databases are in sync',
  })
  lag_ms!: number | null;

  @ApiProperty({ type: DeadLetterReference, nullable: true, example: null, description: 'The dead letter of the change, if there is one' })
  dead_letter!: DeadLetterReference | null;
}

export class ReadReplica {
  @ApiPropertyOptional({ ...NUMBER_OF_QUERY, description: 'Minimum version to read: the `Subscription-Version` of a write' })
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: 'must be a version: a whole number' })
  min_version?: string;
}
