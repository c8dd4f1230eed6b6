import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString } from 'class-validator';
import { INT64, PageSize } from '#http';

const ONCE = 'must be given once';

export class ListHistory extends PageSize {
  @ApiPropertyOptional({ format: 'history-cursor', description: '`next_cursor` of the previous page' })
  @IsOptional()
  @IsString({ message: ONCE })
  cursor?: string;
}

export class ReadEvents extends PageSize {
  @ApiPropertyOptional({
    description: '`next_cursor` of the previous page, or the id of an event of the stream. 0: from the start; now: only future events',
    format: 'feed-cursor',
    default: '0',
  })
  @IsOptional()
  @IsString({ message: ONCE })
  after?: string;
}

export class FollowEvents {
  @ApiPropertyOptional({
    description: 'Where the stream begins, unless Last-Event-ID is sent. 0: from the start; now: only future events',
    format: 'feed-cursor',
    default: '0',
  })
  @IsOptional()
  @IsString({ message: ONCE })
  after?: string;
}

/** One change of a subscription. */
export class HistoryEntry {
  @ApiProperty({ ...INT64, example: 42 })
  version!: number;

  @ApiProperty({ enum: ['created', 'updated', 'deleted', 'resynced'], example: 'updated' })
  operation!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-02T10:00:00.5+00:00' })
  occurred_at!: string;

  @ApiProperty({ example: 'billing', description: 'Who made the change' })
  actor!: string;

  @ApiProperty({
    type: String,
    nullable: true,
    example: 'payment failed',
    description: 'Why the change was made, where a reason was given',
  })
  reason!: string | null;

  @ApiProperty({ enum: ['api', 'sql'], example: 'api', description: 'api: this service; sql: another program' })
  origin!: string;

  @ApiProperty({
    type: String,
    nullable: true,
    example: 'subscription-sync',
    description: 'The name that the program gave to the database',
  })
  application_name!: string | null;

  @ApiProperty({
    example: 'billing',
    description: 'Database user of the session that made the change. unknown for changes that version 0.1 recorded',
  })
  database_user!: string;

  @ApiProperty({ type: String, nullable: true, example: null, description: 'W3C trace context of the request' })
  traceparent!: string | null;

  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'object', properties: { from: {}, to: {} } },
    example: { status: { from: 'active', to: 'past_due' } },
    description: 'The changed fields; empty unless the operation is updated, and where the former values are more than 1 MB',
  })
  changes!: Record<string, { from: unknown; to: unknown }>;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    example: { email: 'ada@example.com', status: 'past_due' },
    description:
      'The whole row after the change; for a deletion, the row as it was. The fields have the names of the columns of the table in Database 1',
  })
  subscription!: Record<string, unknown>;
}

export class HistoryPage {
  @ApiProperty({ type: [HistoryEntry] })
  data!: HistoryEntry[];

  @ApiProperty({ type: String, nullable: true, example: null, description: 'The cursor of the next page; null on the last page' })
  next_cursor!: string | null;
}

export class EventPage {
  @ApiProperty({
    type: 'array',
    items: { type: 'object', additionalProperties: true },
    example: [{ specversion: '1.0', id: '42', type: 'subscription.updated', subject: 'ada@example.com', data: {} }],
    description: 'Events as they go to Kafka (docs/api/events.md)',
  })
  data!: unknown[];

  @ApiProperty({ example: 'MS4…', description: 'A value for `after`, now or at any later time' })
  next_cursor!: string;

  @ApiProperty({ example: false, description: 'Whether there are more events already' })
  has_more!: boolean;
}
