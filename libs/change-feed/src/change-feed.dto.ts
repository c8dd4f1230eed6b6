import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString } from 'class-validator';
import { PageSize } from '#http';

const ONCE = 'must be given once';

export class ListHistory extends PageSize {
  @ApiPropertyOptional({ format: 'history-cursor', description: '`next_cursor` of the page before' })
  @IsOptional()
  @IsString({ message: ONCE })
  cursor?: string;
}

export class ReadEvents extends PageSize {
  @ApiPropertyOptional({
    description: '`next_cursor` of the page before, or the id of an event of the stream. 0: from the start; now: only what comes',
    format: 'feed-cursor',
    default: '0',
  })
  @IsOptional()
  @IsString({ message: ONCE })
  after?: string;
}

export class FollowEvents {
  @ApiPropertyOptional({
    description: 'Where to begin, unless Last-Event-ID says it. 0: from the start; now: only what comes',
    format: 'feed-cursor',
    default: '0',
  })
  @IsOptional()
  @IsString({ message: ONCE })
  after?: string;
}

/** A change of a subscription. */
export class HistoryEntry {
  @ApiProperty({ type: 'integer', example: 42 })
  version!: number;

  @ApiProperty({ enum: ['created', 'updated', 'deleted', 'resynced'], example: 'updated' })
  operation!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-02T10:00:00.5+00:00' })
  occurred_at!: string;

  @ApiProperty({ example: 'billing', description: 'Who' })
  actor!: string;

  @ApiProperty({ type: String, nullable: true, example: 'payment failed', description: 'Why, where somebody said it' })
  reason!: string | null;

  @ApiProperty({ enum: ['api', 'sql'], example: 'api', description: 'sql: another program' })
  origin!: string;

  @ApiProperty({ type: String, nullable: true, example: 'subscription-sync', description: 'As the program called itself to the database' })
  application_name!: string | null;

  @ApiProperty({ type: String, nullable: true, example: null, description: 'W3C trace context of the request' })
  traceparent!: string | null;

  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'object', properties: { from: {}, to: {} } },
    example: { status: { from: 'active', to: 'past_due' } },
    description: 'What changed; empty unless updated, and where the former values are more than 1 MB',
  })
  changes!: Record<string, { from: unknown; to: unknown }>;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    example: { email: 'ada@example.com', status: 'past_due', version: 42 },
    description: 'All of it after the change; of a deletion, as it was',
  })
  subscription!: Record<string, unknown>;
}

export class HistoryPage {
  @ApiProperty({ type: [HistoryEntry] })
  data!: HistoryEntry[];

  @ApiProperty({ type: String, nullable: true, example: null, description: 'For the next page; null on the last' })
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

  @ApiProperty({ example: 'MS4…', description: 'For `after`, now or at any time later' })
  next_cursor!: string;

  @ApiProperty({ example: false, description: 'Whether there is more already' })
  has_more!: boolean;
}
