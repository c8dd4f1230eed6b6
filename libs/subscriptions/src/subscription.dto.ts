import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ArrayMaxSize, IsBoolean, IsIn, IsOptional, IsString, Length, ValidateBy, ValidateIf } from 'class-validator';
import { BUSINESS_COLUMN_LIST, type BusinessColumn, type BusinessValues, ROW_COLUMN_NAMES, STATUSES } from '#events';
import { INT64, IsPgText, PageSize, PG_TEXT_PATTERN } from '#http';
import { IsAcceptedStatus } from './accepted-statuses.js';
import {
  EMAIL_LENGTH,
  EMAIL_RULE,
  isAcceptableEmail,
  IsInstant,
  IsMetadata,
  METADATA,
  OFFSET_PATTERN,
  TWO_SPELLINGS,
} from './validators.js';

const REASON_LENGTH = 500;
/** Descriptions of statuses. The document is made without a database, so it lists the built-in ones. */
const OTHER_STATUSES = 'Where the column of the table has an enum type, or STATUSES is set, the statuses are those';
const ACCEPTED = `${OTHER_STATUSES} instead`;
const SHOWN = `One of ${STATUSES.join(', ')}, or another value that was written with SQL. ${OTHER_STATUSES}`;
const isGiven = (_: unknown, value: unknown): boolean => value !== undefined;
const isNotNull = (_: unknown, value: unknown): boolean => value !== null && value !== undefined;

/** The reason for a change. It is stored in the change log and is not a field of the subscription. */
const Reason = (place: 'body' | 'query' = 'body'): PropertyDecorator =>
  applyDecorators(
    ApiPropertyOptional({
      example: 'invoice 4711 unpaid',
      minLength: 1,
      maxLength: REASON_LENGTH,
      pattern: PG_TEXT_PATTERN,
      ...(place === 'body' ? { writeOnly: true } : {}),
      description: 'Reason for the change, stored in the history',
    }),
    ValidateIf(isGiven),
    IsPgText(),
    Length(1, REASON_LENGTH, { message: `must be 1 to ${REASON_LENGTH} characters` }),
    IsString({ message: 'must be a string' }),
  );

const Reactivate = (): PropertyDecorator =>
  applyDecorators(
    ApiPropertyOptional({
      default: false,
      writeOnly: true,
      description: 'Allows a canceled or expired subscription to become pending, trialing or active again',
    }),
    ValidateIf(isGiven),
    IsBoolean({ message: 'must be true or false' }),
  );

/** Base classes that only declare the types of the business columns. Their decorators are applied below, from {@link BUSINESS_COLUMN_LIST}. */
const ColumnsOfWrites = Object as unknown as new () => Partial<Omit<BusinessValues, 'status'>>;
const ColumnsOfResponses = Object as unknown as new () => BusinessValues;

/** Fields that every write can set: {@link BUSINESS_COLUMN_LIST} without the status, for which each write has its own rule. */
class SubscriptionFields extends ColumnsOfWrites {
  @Reason()
  reason?: string;
}

for (const [name, column] of BUSINESS_COLUMN_LIST) {
  if (column.kind !== 'status') fieldDecorator(column)(SubscriptionFields.prototype, name);
}

class WholeSubscription extends SubscriptionFields {
  @ApiProperty({ enum: STATUSES, example: 'active', description: ACCEPTED })
  @IsAcceptedStatus()
  status!: string;
}

/** Body of PUT. Omitted fields are reset to their defaults. */
export class PutSubscription extends WholeSubscription {
  @Reactivate()
  reactivate?: boolean;
}

/** Body of POST. */
export class CreateSubscription extends WholeSubscription {
  @ApiProperty({ example: 'ada@example.com', format: 'email', maxLength: EMAIL_LENGTH, description: TWO_SPELLINGS })
  @ValidateBy({ name: 'isEmail', validator: { validate: isAcceptableEmail, defaultMessage: () => EMAIL_RULE } })
  email!: string;
}

/** Query of DELETE, which has no body. */
export class DeleteOptions {
  @Reason('query')
  reason?: string;
}

/** Body of PATCH. Omitted fields keep their values; a member of `metadata` that is null is removed. */
export class PatchSubscription extends SubscriptionFields {
  @Reactivate()
  reactivate?: boolean;

  @ApiPropertyOptional({ enum: STATUSES, example: 'paused', description: ACCEPTED })
  @ValidateIf(isGiven)
  @IsAcceptedStatus()
  status?: string;
}

/** A subscription in responses. */
export class SubscriptionView extends ColumnsOfResponses {
  email!: string;
  created_at!: string;
  updated_at!: string;
}

/** Documents the columns of a row in their order. */
const VIEW_PROPERTIES: Readonly<Record<string, ApiPropertyOptions>> = {
  email: { format: 'email', type: String, example: 'ada@example.com' },
  ...Object.fromEntries(BUSINESS_COLUMN_LIST.map(([name, column]) => [name, viewProperty(column)])),
  created_at: { type: String, format: 'date-time', example: '2026-11-01T09:00:00.123456+00:00' },
  updated_at: { type: String, format: 'date-time', example: '2026-11-02T10:00:00.5+00:00' },
};
for (const name of ROW_COLUMN_NAMES) ApiProperty(VIEW_PROPERTIES[name])(SubscriptionView.prototype, name);

/** A subscription in the response of a write. */
export class WrittenView extends SubscriptionView {
  @ApiProperty({ ...INT64, example: 42, description: 'Version of the change. It increases with every change' })
  version!: number;
}

const ReplicationPath = (): PropertyDecorator =>
  ApiProperty({
    example: '/subscriptions/ada%40example.com/replication',
    description: 'Path of the replication status of the subscription',
  });

/** Body of 202 for `Prefer: wait`: the change is committed, but Database 2 did not have it in time. */
export class AcceptedSubscription extends WrittenView {
  @ReplicationPath()
  replication!: string;
}

/** Body of 202 for a deletion. */
export class AcceptedDeletion {
  @ApiProperty({ example: 'ada@example.com', description: 'Email of the deleted subscription' })
  email!: string;

  @ReplicationPath()
  replication!: string;
}

/** Sort orders of a list; `-` stands for descending. */
const SORTS = ['email', '-email'] as const;
export type Sort = (typeof SORTS)[number];

/** Example: the page after ada@example.com, sorted by email. */
const CURSOR_EXAMPLE = 'WyJlbWFpbCIsImFkYUBleGFtcGxlLmNvbSJd';

const MAX_STATUSES = 20;
const TEXT_LENGTH = 254;
const TEXT = { minLength: 1, maxLength: TEXT_LENGTH, pattern: PG_TEXT_PATTERN };

export class ListSubscriptions extends PageSize {
  @ApiPropertyOptional({
    type: 'array',
    items: { type: 'string', pattern: `^[^,\\u0000]{1,${TEXT_LENGTH}}$` },
    maxItems: MAX_STATUSES,
    description: `Selects subscriptions with any of these statuses, as in active,past_due. Repeat the parameter or separate the values with commas. ${SHOWN}`,
  })
  @IsOptional()
  @Transform(({ value }) => splitAtCommas(value))
  @ArrayMaxSize(MAX_STATUSES, { message: `must have at most ${MAX_STATUSES} values` })
  @Length(1, TEXT_LENGTH, { each: true, message: 'must be names of statuses' })
  @IsPgText()
  status?: string[];

  @ApiPropertyOptional({ ...TEXT, description: 'Selects subscriptions with this plan. Refused where the table has no such column' })
  @IsOptional()
  @IsPgText()
  @Length(1, TEXT_LENGTH, { message: `must be 1 to ${TEXT_LENGTH} characters, given only once` })
  plan?: string;

  @ApiPropertyOptional({
    ...TEXT,
    description:
      'Selects subscriptions whose email begins with this text, as in ada@. The text is normalised like an email. An email that was written with SQL in another spelling may be left out',
  })
  @IsOptional()
  @IsPgText()
  @Length(1, TEXT_LENGTH, { message: `must be 1 to ${TEXT_LENGTH} characters, given only once` })
  email_prefix?: string;

  @ApiPropertyOptional({
    enum: SORTS,
    default: 'email',
    description:
      'Sort order: the emails, in the order of their index, which is that of their bytes in the table that the service creates; `-` stands for descending. GET /events returns changes in their order',
  })
  @IsOptional()
  @IsIn(SORTS, { message: `must be one of ${SORTS.join(', ')}` })
  sort?: Sort;

  @ApiPropertyOptional({
    format: 'list-cursor',
    description: '`next_cursor` of the previous page. The filters and the sort order must be the same',
  })
  @IsOptional()
  @IsString({ message: 'must be given only once' })
  cursor?: string;
}

export class SubscriptionPage {
  @ApiProperty({ type: [SubscriptionView], description: 'A page can have fewer than `limit` items, or none, without being the last page' })
  data!: SubscriptionView[];

  @ApiProperty({ type: String, nullable: true, example: CURSOR_EXAMPLE, description: 'Cursor of the next page; null on the last page' })
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
  const unlessOmitted = ValidateIf(nullable ? isNotNull : isGiven);
  switch (column.kind) {
    case 'text':
      return applyDecorators(
        ApiPropertyOptional({ type: String, nullable, example, minLength: 1, maxLength: column.maxLength, pattern: PG_TEXT_PATTERN }),
        unlessOmitted,
        IsPgText(),
        Length(1, column.maxLength, { message: `must be 1 to ${column.maxLength} characters` }),
        IsString({ message: nullable ? 'must be a string or null' : 'must be a string' }),
      );
    case 'instant':
      return applyDecorators(
        ApiPropertyOptional({ type: String, format: 'date-time', pattern: OFFSET_PATTERN, nullable, example }),
        unlessOmitted,
        IsInstant(),
      );
    case 'boolean':
      return applyDecorators(
        ApiPropertyOptional({ type: Boolean, default: column.default }),
        unlessOmitted,
        IsBoolean({ message: 'must be true or false' }),
      );
    case 'object':
      return applyDecorators(
        ApiPropertyOptional({
          type: 'object',
          additionalProperties: true,
          example,
          maxProperties: METADATA.keys,
          description:
            'A number that a 64-bit float would round, such as 12345678901234567890, is refused: send it as a string. So are the names `__proto__` and `constructor`, at any depth',
        }),
        // The copy that class-transformer makes lacks the members that have the name of a property of every object, as in `toString`.
        Transform(({ obj, key }: { obj: Readonly<Record<string, unknown>>; key: string }) => obj[key]),
        unlessOmitted,
        IsMetadata(),
      );
  }
}

/** Documents a business column of a response. */
function viewProperty({ kind, nullable, example }: BusinessColumn): ApiPropertyOptions {
  const orNull = nullable ? { nullable } : {};
  switch (kind) {
    case 'status':
      return { type: String, example, description: SHOWN };
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
