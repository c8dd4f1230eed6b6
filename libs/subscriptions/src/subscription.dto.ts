import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ArrayMaxSize, IsBoolean, IsIn, IsOptional, IsString, Length, Matches, ValidateBy, ValidateIf } from 'class-validator';
import { type Status, STATUSES } from '#events';
import { IsPgText, NUMBER_OF_QUERY, PageSize, PG_TEXT_PATTERN, WHOLE_NUMBER } from '#http';
import { EMAIL_LENGTH, EMAIL_RULE, isAcceptableEmail, IsInstant, IsMetadata, METADATA, OFFSET_PATTERN } from './validators.js';

const PLAN_LENGTH = 100;
const REASON_LENGTH = 500;
const given = (_: unknown, value: unknown): boolean => value !== undefined;
const notNull = (_: unknown, value: unknown): boolean => value !== null && value !== undefined;

/** Why: goes into the change log with the write, and is no part of the subscription. */
const Reason = (): PropertyDecorator =>
  applyDecorators(
    ApiPropertyOptional({
      example: 'invoice 4711 unpaid',
      minLength: 1,
      maxLength: REASON_LENGTH,
      pattern: PG_TEXT_PATTERN,
      writeOnly: true,
      description: 'Kept in the history with the change',
    }),
    ValidateIf(given),
    IsPgText(),
    Length(1, REASON_LENGTH, { message: `must be 1 to ${REASON_LENGTH} characters` }),
    IsString({ message: 'must be a string' }),
  );

const Reactivate = (): PropertyDecorator =>
  applyDecorators(
    ApiPropertyOptional({ default: false, writeOnly: true, description: 'Lets a canceled or expired subscription begin again' }),
    ValidateIf(given),
    IsBoolean({ message: 'must be true or false' }),
  );

/** Fields that every write may set. `null` is a value of `plan` and `access_until` alone. */
class SubscriptionFields {
  @Reason()
  reason?: string;

  @ApiPropertyOptional({ type: String, nullable: true, example: 'pro', minLength: 1, maxLength: PLAN_LENGTH, pattern: PG_TEXT_PATTERN })
  @ValidateIf(notNull)
  @IsPgText()
  @Length(1, PLAN_LENGTH, { message: `must be 1 to ${PLAN_LENGTH} characters` })
  @IsString({ message: 'must be a string or null' })
  plan?: string | null;

  @ApiPropertyOptional({ type: String, format: 'date-time', pattern: OFFSET_PATTERN, nullable: true, example: '2027-01-31T00:00:00Z' })
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

class WholeSubscription extends SubscriptionFields {
  @ApiProperty({ enum: STATUSES, example: 'active' })
  @IsIn(STATUSES, { message: `must be one of ${STATUSES.join(', ')}` })
  status!: Status;
}

/** PUT: what is left out goes back to its default. */
export class PutSubscription extends WholeSubscription {
  @Reactivate()
  reactivate?: boolean;
}

/** POST. */
export class CreateSubscription extends WholeSubscription {
  @ApiProperty({ example: 'ada@example.com', format: 'email', maxLength: EMAIL_LENGTH })
  @ValidateBy({ name: 'isEmail', validator: { validate: isAcceptableEmail, defaultMessage: () => EMAIL_RULE } })
  email!: string;
}

/** DELETE, which has no body. */
export class DeleteOptions {
  @Reason()
  reason?: string;
}

/** PATCH: what is left out stays as it is; a member of `metadata` that is null is taken out. */
export class PatchSubscription extends SubscriptionFields {
  @Reactivate()
  reactivate?: boolean;

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

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: '2027-01-31T00:00:00+00:00' })
  access_until!: string | null;

  @ApiProperty({ example: false })
  cancel_at_period_end!: boolean;

  @ApiProperty({ type: 'object', additionalProperties: true, example: { source: 'web' } })
  metadata!: Record<string, unknown>;

  @ApiProperty({ type: 'integer', example: 42, description: 'Of the last change; goes up with every change. The ETag.' })
  version!: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-01T09:00:00.123456+00:00' })
  created_at!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-02T10:00:00.5+00:00' })
  updated_at!: string;
}

const ReplicationPath = (): PropertyDecorator =>
  ApiProperty({ example: '/subscriptions/ada%40example.com/replication', description: 'Where to look whether Database 2 has it' });

/** 202 for `Prefer: wait`: committed, and not seen in Database 2 in time. */
export class AcceptedSubscription extends SubscriptionView {
  @ReplicationPath()
  replication!: string;
}

/** The same for a deletion. */
export class AcceptedDeletion {
  @ApiProperty({ example: 'ada@example.com' })
  email!: string;

  @ReplicationPath()
  replication!: string;
}

/** The orders of a list; `-` before one turns it round. */
const SORTS = ['email', 'version', 'updated_at', '-email', '-version', '-updated_at'] as const;
export type Sort = (typeof SORTS)[number];

/** Behind ada@example.com, by email. */
const CURSOR = 'WyJlbWFpbCIsbnVsbCwiYWRhQGV4YW1wbGUuY29tIl0';

const STATUSES_AT_MOST = 20;
const TEXT_LENGTH = 254;
const TEXT = { minLength: 1, maxLength: TEXT_LENGTH, pattern: PG_TEXT_PATTERN };

export class ListSubscriptions extends PageSize {
  @ApiPropertyOptional({
    type: 'array',
    items: { type: 'string', pattern: `^[^,\\u0000]{1,${TEXT_LENGTH}}$` },
    maxItems: STATUSES_AT_MOST,
    description: `Any of these, as in active,past_due: repeated or comma-separated. ${STATUSES.join(', ')}, or what other programs' SQL wrote`,
  })
  @IsOptional()
  @Transform(({ value }) => splitAtCommas(value))
  @ArrayMaxSize(STATUSES_AT_MOST, { message: `must be at most ${STATUSES_AT_MOST}` })
  @Length(1, TEXT_LENGTH, { each: true, message: 'must be names of statuses' })
  @IsPgText()
  status?: string[];

  @ApiPropertyOptional(TEXT)
  @IsOptional()
  @IsPgText()
  @Length(1, TEXT_LENGTH, { message: `must be 1 to ${TEXT_LENGTH} characters, given once` })
  plan?: string;

  @ApiPropertyOptional({ ...TEXT, description: 'As in ada@, in any letters' })
  @IsOptional()
  @IsPgText()
  @Length(1, TEXT_LENGTH, { message: `must be 1 to ${TEXT_LENGTH} characters, given once` })
  email_prefix?: string;

  @ApiPropertyOptional({ format: 'date-time', pattern: OFFSET_PATTERN, description: 'Changed then or later, as in 2026-11-01T00:00:00Z' })
  @IsOptional()
  @IsInstant()
  updated_since?: string;

  @ApiPropertyOptional({ ...NUMBER_OF_QUERY, description: 'Changed after this version' })
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: WHOLE_NUMBER })
  version_after?: string;

  @ApiPropertyOptional({
    enum: SORTS,
    description: 'By default `version` with version_after, `updated_at` with updated_since, else `email`',
  })
  @IsOptional()
  @IsIn(SORTS, { message: `must be one of ${SORTS.join(', ')}` })
  sort?: Sort;

  @ApiPropertyOptional({ format: 'list-cursor', description: '`next_cursor` of the page before, with the same filters and sort' })
  @IsOptional()
  @IsString({ message: 'must be given once' })
  cursor?: string;
}

export class SubscriptionPage {
  @ApiProperty({ type: [SubscriptionView], description: 'Fewer than `limit`, even none, does not mean that it is the last page' })
  data!: SubscriptionView[];

  @ApiProperty({ type: String, nullable: true, example: CURSOR, description: 'For the next page; null on the last' })
  next_cursor!: string | null;
}

function splitAtCommas(value: unknown): unknown {
  const texts: unknown[] = Array.isArray(value) ? value : [value];
  if (!texts.every((text) => typeof text === 'string')) return value;
  return texts.flatMap((text) => text.split(','));
}
