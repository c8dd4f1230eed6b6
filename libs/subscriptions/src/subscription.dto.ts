import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ArrayMaxSize, IsBoolean, IsIn, IsOptional, IsString, Length, Matches, ValidateBy, ValidateIf } from 'class-validator';
import { BUSINESS_COLUMN_LIST, type BusinessColumn, type BusinessValues, ROW_COLUMN_NAMES, type Status, STATUSES } from '#events';
import { IsPgText, NUMBER_OF_QUERY, PageSize, PG_TEXT_PATTERN, WHOLE_NUMBER } from '#http';
import { EMAIL_LENGTH, EMAIL_RULE, isAcceptableEmail, IsInstant, IsMetadata, METADATA, OFFSET_PATTERN } from './validators.js';

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

/** Bases that only declare the types of the business columns, which are decorated below from {@link BUSINESS_COLUMN_LIST}. */
const ColumnsOfWrites = Object as unknown as new () => Partial<Omit<BusinessValues, 'status'>>;
const ColumnsOfAnswers = Object as unknown as new () => BusinessValues;

/** Fields that every write may set: {@link BUSINESS_COLUMN_LIST} without the status, which each write has by its own rule. */
class SubscriptionFields extends ColumnsOfWrites {
  @Reason()
  reason?: string;
}

for (const [name, column] of BUSINESS_COLUMN_LIST) {
  if (column.kind !== 'status') fieldDecorator(column)(SubscriptionFields.prototype, name);
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
export class SubscriptionView extends ColumnsOfAnswers {
  email!: string;
  version!: number;
  created_at!: string;
  updated_at!: string;
}

/** Documents the columns of a row in their order. */
const VIEW_PROPERTIES: Readonly<Record<string, ApiPropertyOptions>> = {
  email: { format: 'email', type: String, example: 'ada@example.com' },
  ...Object.fromEntries(BUSINESS_COLUMN_LIST.map(([name, column]) => [name, viewProperty(column)])),
  version: { type: 'integer', example: 42, description: 'Of the last change; goes up with every change. The ETag.' },
  created_at: { type: String, format: 'date-time', example: '2026-11-01T09:00:00.123456+00:00' },
  updated_at: { type: String, format: 'date-time', example: '2026-11-02T10:00:00.5+00:00' },
};
for (const name of ROW_COLUMN_NAMES) ApiProperty(VIEW_PROPERTIES[name])(SubscriptionView.prototype, name);

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

/** Validates and documents a business column of a write. */
function fieldDecorator(column: Exclude<BusinessColumn, { kind: 'status' }>): PropertyDecorator {
  const { nullable, example } = column;
  const isGiven = ValidateIf(nullable ? notNull : given);
  switch (column.kind) {
    case 'text':
      return applyDecorators(
        ApiPropertyOptional({ type: String, nullable, example, minLength: 1, maxLength: column.maxLength, pattern: PG_TEXT_PATTERN }),
        isGiven,
        IsPgText(),
        Length(1, column.maxLength, { message: `must be 1 to ${column.maxLength} characters` }),
        IsString({ message: nullable ? 'must be a string or null' : 'must be a string' }),
      );
    case 'instant':
      return applyDecorators(
        ApiPropertyOptional({ type: String, format: 'date-time', pattern: OFFSET_PATTERN, nullable, example }),
        isGiven,
        IsInstant(),
      );
    case 'boolean':
      return applyDecorators(
        ApiPropertyOptional({ type: Boolean, default: column.default }),
        isGiven,
        IsBoolean({ message: 'must be true or false' }),
      );
    case 'object':
      return applyDecorators(
        ApiPropertyOptional({ type: 'object', additionalProperties: true, example, maxProperties: METADATA.keys }),
        isGiven,
        IsMetadata(),
      );
  }
}

/** Documents a business column of an answer. */
function viewProperty({ kind, nullable, example }: BusinessColumn): ApiPropertyOptions {
  const orNull = nullable ? { nullable } : {};
  switch (kind) {
    case 'status':
      return { type: String, example, description: `One of ${STATUSES.join(', ')}, or what other programs' SQL wrote` };
    case 'text':
      return { type: String, ...orNull, example };
    case 'instant':
      return { type: String, format: 'date-time', ...orNull, example: String(example).replace('Z', '+00:00') };
    case 'boolean':
      return { type: Boolean, example };
    case 'object':
      return { type: 'object', additionalProperties: true, example };
  }
}
