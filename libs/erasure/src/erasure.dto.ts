import { ApiProperty, PickType } from '@nestjs/swagger';
import { CreateSubscription } from '#subscriptions';

/** The email that is erased. It is in the body, because paths are logged by proxies. */
export class RequestErasure extends PickType(CreateSubscription, ['email'] as const) {}

/**
 * - `requested`: the subscription is deleted in DB1, and the deletion is on its way to DB2.
 * - `erased`: everything but the email and its last version is erased; they guard against records that Kafka still holds.
 * - `completed`: the email is erased as well.
 */
const STATES = ['requested', 'erased', 'completed'] as const;
export type ErasureState = (typeof STATES)[number];

/** What Kafka still holds of an erased email. */
export class KafkaRemainder {
  @ApiProperty({ example: 'subscription-events' })
  topic!: string;

  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'integer', format: 'int64' },
    example: { 0: 1234, 1: 987 },
    description: 'By partition: only records below this offset can have the email',
  })
  records_below!: Record<string, number>;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2026-12-07T10:00:00.000Z',
    description: "When the topic's retention.ms has passed for these records; Kafka deletes them some time after. Null if it keeps them",
  })
  until!: string | null;

  @ApiProperty({ example: 'Kafka deletes the records after retention.ms=604800000', description: 'What is to be done, if anything' })
  detail!: string;
}

/** An erasure. It shows a hash of the email, never the email. */
export class ErasureView {
  @ApiProperty({ type: 'integer', format: 'int64', example: 7 })
  id!: number;

  @ApiProperty({ enum: STATES, example: 'erased' })
  state!: ErasureState;

  @ApiProperty({
    example: '5c1f0fb0d8bb6ea8b1b2b3ff7b4ea7f0a61d5c4c2a2b9df0d9a8d7c6b5a49382',
    pattern: '^[0-9a-f]{64}$',
    description:
      'SHA-256 in hexadecimal of the id, a colon and the normalised email: it proves which email was erased to those who know it',
  })
  email_hash!: string;

  @ApiProperty({ example: 'key:privacy-desk:5f0c6a0e6f1d4b0e', description: 'Who requested it' })
  requested_by!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-30T10:00:00+00:00' })
  requested_at!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: '2026-11-30T10:00:02+00:00' })
  erased_at!: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: null })
  completed_at!: string | null;

  @ApiProperty({ type: KafkaRemainder, nullable: true, description: 'What Kafka still holds; null before the state `erased`' })
  kafka!: KafkaRemainder | null;
}
