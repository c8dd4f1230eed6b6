import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { NUMBER_OF_QUERY } from '#http';

/**
 * - `in_sync`: Database 2 is as Database 1 is.
 * - `in_flight`: Database 2 is to get it, and nothing is known to be in its way.
 * - `dead_lettered`: its record was put aside. Somebody has to look, or a newer change heals it.
 * - `drifted`: nothing is on its way any more, and the databases differ. Reconciliation repairs that.
 * - `unknown`: Database 2 is not known here, or does not answer.
 */
const REPLICATION_STATES = ['in_sync', 'in_flight', 'dead_lettered', 'drifted', 'unknown'] as const;
export type ReplicationState = (typeof REPLICATION_STATES)[number];

/** An email in a database. */
export interface Side {
  /** 0: the change log does not know it. */
  readonly version: number;
  /** Whether there is a row; else it was deleted at that version. */
  readonly live: boolean;
  /** The row's values as text. */
  readonly content: string | null;
}

interface ReplicationFacts {
  /** Undefined when the database knows nothing of the email. */
  readonly db1: Side | undefined;
  readonly db2: Side | undefined;
  /** Whether the change of DB1's version was put aside on its way. */
  readonly deadLettered: boolean;
  /** Whether everything that was on Kafka with it is applied, or a comparison of both databases has found it. */
  readonly passed: boolean;
}

/** DB2 is to be looked at before DB1: then DB2 has nothing that DB1 has not. */
export function replicationState({ db1, db2, deadLettered, passed }: ReplicationFacts): ReplicationState {
  if (!db1) return db2?.live ? 'drifted' : 'in_sync';
  const there = db2?.version ?? 0;
  if (db1.version > there) return deadLettered ? 'dead_lettered' : passed ? 'drifted' : 'in_flight';
  // Rows that were there before the log; each gets its first change soon.
  if (db1.version === 0) return 'in_flight';
  return there === db1.version && db1.live === db2?.live && db1.content === db2.content ? 'in_sync' : 'drifted';
}

class Database1View {
  @ApiProperty({ type: 'integer', example: 42, description: 'Of the last change' })
  version!: number;

  @ApiProperty({ example: false })
  deleted!: boolean;

  @ApiProperty({ type: String, nullable: true, example: 'updated', description: 'null where the log no longer has the change' })
  operation!: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: '2026-11-02T10:00:00.5+00:00' })
  changed_at!: string | null;
}

class Database2View {
  @ApiProperty({ type: 'integer', example: 41 })
  version!: number;

  @ApiProperty({ example: false })
  deleted!: boolean;
}

class PublishedView {
  @ApiProperty({ type: String, nullable: true, example: 'subscription-events', description: 'null where this process does not know Kafka' })
  topic!: string | null;

  @ApiProperty({ type: 'integer', nullable: true, example: 3 })
  partition!: number | null;

  @ApiProperty({ type: 'integer', nullable: true, example: null, description: 'Where it is known: of a dead letter' })
  offset!: number | null;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2026-11-02T10:00:00.52+00:00',
    description: 'By then it was captured and on Kafka; null: a moment ago',
  })
  at_latest!: string | null;
}

/** How far the partition of the subscription is applied. */
export class AppliedView {
  @ApiProperty({ type: 'integer', example: 1240, description: 'Of the last record applied' })
  offset!: number;

  @ApiProperty({ type: 'integer', example: 57, description: 'The highest version applied, of any subscription' })
  version!: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-02T10:00:00.51+00:00' })
  applied_at!: string;
}

/** A record that was put aside: /dead-letters has it. */
export class DeadLetterView {
  @ApiProperty({ type: 'integer', example: 7 })
  id!: number;

  @ApiProperty({ example: '22001' })
  error_class!: string;

  @ApiProperty({ example: 'subscription-events' })
  topic!: string;

  @ApiProperty({ type: 'integer', example: 3 })
  partition!: number;

  @ApiProperty({ type: 'integer', example: 1234 })
  offset!: number;
}

/** Where the last change of a subscription is. */
export class ReplicationView {
  @ApiProperty({ format: 'email', example: 'ada@example.com' })
  email!: string;

  @ApiProperty({ enum: REPLICATION_STATES, example: 'in_flight' })
  state!: ReplicationState;

  @ApiProperty({ example: 'The change is on its way to Database 2' })
  detail!: string;

  @ApiProperty({ type: Database1View, nullable: true })
  database1!: Database1View | null;

  @ApiProperty({ type: Database2View, nullable: true, description: 'null when it knows nothing of it, or can not be asked' })
  database2!: Database2View | null;

  @ApiProperty({ type: PublishedView, nullable: true, description: 'null while it is not known to be on Kafka' })
  published!: PublishedView | null;

  @ApiProperty({ type: AppliedView, nullable: true, description: 'null where it is not known' })
  applied!: AppliedView | null;

  @ApiProperty({
    type: 'integer',
    nullable: true,
    example: 12,
    description: 'How long ago the first change was made that Database 2 lacks; 0 in sync',
  })
  lag_ms!: number | null;

  @ApiProperty({ type: DeadLetterView, nullable: true, example: null })
  dead_letter!: DeadLetterView | null;
}

export class ReadReplica {
  @ApiPropertyOptional({ ...NUMBER_OF_QUERY, description: 'The version that it must have at least: the ETag of a write' })
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: 'must be a version: a whole number' })
  min_version?: string;
}
