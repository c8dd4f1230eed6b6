import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { REPLICATION_STATES, type ReplicationState } from './replication-state.js';

class Database1View {
  @ApiProperty({ example: 42, description: 'Of the last change' })
  version!: number;

  @ApiProperty()
  deleted!: boolean;

  @ApiProperty({ type: String, nullable: true, example: 'updated', description: 'null where the log no longer has the change' })
  operation!: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  changed_at!: string | null;
}

class Database2View {
  @ApiProperty({ example: 41 })
  version!: number;

  @ApiProperty()
  deleted!: boolean;
}

class PublishedView {
  @ApiProperty({ type: String, nullable: true, example: 'subscription-events', description: 'null where this process does not know Kafka' })
  topic!: string | null;

  @ApiProperty({ type: Number, nullable: true, example: 3 })
  partition!: number | null;

  @ApiProperty({ type: Number, nullable: true, example: 1234, description: 'Where it is known: of a dead letter' })
  offset!: number | null;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description: 'By then it was captured and on Kafka; null: a moment ago',
  })
  at_latest!: string | null;
}

/** How far the partition of the subscription is applied. */
export class AppliedView {
  @ApiProperty({ example: 1240, description: 'Of the last record applied' })
  offset!: number;

  @ApiProperty({ example: 57, description: 'The highest version applied, of any subscription' })
  version!: number;

  @ApiProperty({ format: 'date-time' })
  applied_at!: string;
}

/** A record that was put aside: /dead-letters has it. */
export class DeadLetterView {
  @ApiProperty({ example: 7 })
  id!: number;

  @ApiProperty({ example: '22001' })
  error_class!: string;

  @ApiProperty({ example: 'subscription-events' })
  topic!: string;

  @ApiProperty({ example: 3 })
  partition!: number;

  @ApiProperty({ example: 1234 })
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
    type: Number,
    nullable: true,
    example: 12,
    description: 'How long ago the first change was made that Database 2 lacks; 0 in sync',
  })
  lag_ms!: number | null;

  @ApiProperty({ type: DeadLetterView, nullable: true })
  dead_letter!: DeadLetterView | null;
}

export class ReadReplica {
  @ApiPropertyOptional({ type: 'integer', minimum: 0, description: 'The version that it must have at least: the ETag of a write' })
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: 'must be a version: a whole number' })
  min_version?: string;
}
