import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsIn, IsOptional, IsString, Length, ValidateBy, ValidateIf } from 'class-validator';
import { EMAIL_RULE, isAcceptableEmail } from './email.js';
import { IsInstant } from './instant.js';
import { IsMetadata, METADATA } from './metadata.js';
import { STATUSES, type Status } from './status.js';
import { IsStorable } from './storable-text.js';

const PLAN_LENGTH = 100;
const given = (_: unknown, value: unknown): boolean => value !== undefined;
const notNull = (_: unknown, value: unknown): boolean => value !== null && value !== undefined;

/** Fields that every write may set. `null` is a value of `plan` and `access_until` alone. */
class SubscriptionFields {
  @ApiPropertyOptional({ type: String, nullable: true, example: 'pro', maxLength: PLAN_LENGTH })
  @ValidateIf(notNull)
  @IsStorable()
  @Length(1, PLAN_LENGTH, { message: `must be 1 to ${PLAN_LENGTH} characters` })
  @IsString({ message: 'must be a string or null' })
  plan?: string | null;

  @ApiPropertyOptional({ type: String, format: 'date-time', nullable: true, example: '2027-01-31T00:00:00Z' })
  @ValidateIf(notNull)
  @IsInstant()
  access_until?: string | null;

  @ApiPropertyOptional({ default: false })
  @ValidateIf(given)
  @IsBoolean({ message: 'must be true or false' })
  cancel_at_period_end?: boolean;

  @ApiPropertyOptional({ type: 'object', additionalProperties: true, example: { source: 'web' }, maxProperties: METADATA.keys })
  @ValidateIf(given)
  @IsMetadata()
  metadata?: Record<string, unknown>;
}

/** PUT: what is left out goes back to its default. */
export class PutSubscription extends SubscriptionFields {
  @ApiProperty({ enum: STATUSES, example: 'active' })
  @IsIn(STATUSES, { message: `must be one of ${STATUSES.join(', ')}` })
  status!: Status;
}

/** POST. */
export class CreateSubscription extends PutSubscription {
  @ApiProperty({ format: 'email', example: 'ada@example.com' })
  @ValidateBy({ name: 'isEmail', validator: { validate: isAcceptableEmail, defaultMessage: () => EMAIL_RULE } })
  email!: string;
}

/** PATCH: what is left out stays as it is. */
export class PatchSubscription extends SubscriptionFields {
  @ApiPropertyOptional({ enum: STATUSES, example: 'paused' })
  @ValidateIf(given)
  @IsIn(STATUSES, { message: `must be one of ${STATUSES.join(', ')}` })
  status?: Status;
}

/** The resource, as answers show it. */
export class SubscriptionView {
  @ApiProperty({ format: 'email', example: 'ada@example.com' })
  email!: string;

  @ApiProperty({ example: 'active', description: `One of ${STATUSES.join(', ')}, or what other programs' SQL wrote` })
  status!: string;

  @ApiProperty({ type: String, nullable: true, example: 'pro' })
  plan!: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  access_until!: string | null;

  @ApiProperty()
  cancel_at_period_end!: boolean;

  @ApiProperty({ type: 'object', additionalProperties: true })
  metadata!: Record<string, unknown>;

  @ApiProperty({ example: 42, description: 'Of the last change; goes up with every change. The ETag.' })
  version!: number;

  @ApiProperty({ format: 'date-time' })
  created_at!: string;

  @ApiProperty({ format: 'date-time' })
  updated_at!: string;
}

export class ListSubscriptions {
  @ApiPropertyOptional({ enum: STATUSES })
  @IsOptional()
  @IsString({ message: 'must be given once' })
  @IsStorable()
  status?: string;

  @ApiPropertyOptional({ default: 100, minimum: 1, maximum: 500 })
  @IsOptional()
  @ValidateBy({
    name: 'isLimit',
    validator: {
      validate: (value) => typeof value === 'string' && /^\d{1,3}$/.test(value) && Number(value) >= 1 && Number(value) <= 500,
      defaultMessage: () => 'must be a whole number from 1 to 500',
    },
  })
  limit?: string;

  @ApiPropertyOptional({ description: '`next_cursor` of the page before' })
  @IsOptional()
  @IsString({ message: 'must be given once' })
  cursor?: string;
}

export class SubscriptionPage {
  @ApiProperty({ type: [SubscriptionView] })
  data!: SubscriptionView[];

  @ApiProperty({ type: String, nullable: true, description: 'For the next page; null on the last' })
  next_cursor!: string | null;
}
