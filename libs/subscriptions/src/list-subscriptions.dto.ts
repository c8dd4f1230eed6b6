import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ArrayMaxSize, IsIn, IsOptional, IsString, Length, Matches } from 'class-validator';
import { STATUSES } from '#events';
import { IsStorable, NUMBER_OF_QUERY, PageSize, STORABLE_PATTERN, WHOLE_NUMBER } from '#http';
import { IsInstant, OFFSET_PATTERN } from './instant.js';
import { SubscriptionView } from './subscription.dto.js';

/** The orders of a list; `-` before one turns it round. */
const SORTS = ['email', 'version', 'updated_at', '-email', '-version', '-updated_at'] as const;
export type Sort = (typeof SORTS)[number];

/** Behind ada@example.com, by email. */
const CURSOR = 'WyJlbWFpbCIsbnVsbCwiYWRhQGV4YW1wbGUuY29tIl0';

const STATUSES_AT_MOST = 20;
const TEXT_LENGTH = 254;
const TEXT = { minLength: 1, maxLength: TEXT_LENGTH, pattern: STORABLE_PATTERN };

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
  @IsStorable()
  status?: string[];

  @ApiPropertyOptional(TEXT)
  @IsOptional()
  @IsStorable()
  @Length(1, TEXT_LENGTH, { message: `must be 1 to ${TEXT_LENGTH} characters, given once` })
  plan?: string;

  @ApiPropertyOptional({ ...TEXT, description: 'As in ada@, in any letters' })
  @IsOptional()
  @IsStorable()
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
