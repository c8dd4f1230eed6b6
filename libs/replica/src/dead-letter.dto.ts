import { ApiProperty, ApiPropertyOptional, IntersectionType } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { INT32, INT64, IsPgText, NextId, PageById, PG_TEXT_PATTERN, WHOLE_NUMBER } from '#http';

/** `open`: not dealt with yet. `applied`, `superseded`: by a redrive. `discarded`: by an operator. */
export const STATES = ['open', 'applied', 'superseded', 'discarded'] as const;
export type DeadLetterState = (typeof STATES)[number];

const MAX_LENGTH = 300;

/** A record that could not be applied, without its bytes. */
export class DeadLetterView {
  @ApiProperty({ ...INT64, example: 7 })
  id!: number;

  @ApiProperty({ enum: STATES, example: 'open' })
  state!: DeadLetterState;

  @ApiProperty({ example: '22001', description: "Reason: a SQLSTATE of Database 2, or a kind of bad record ('not-json')" })
  error_class!: string;

  @ApiProperty({ example: 'DB2 refused version 42: SQLSTATE 22001', description: 'The error of the first attempt, or of the last redrive' })
  error!: string;

  @ApiProperty({ example: 'subscription-events' })
  topic!: string;

  @ApiProperty({ ...INT32, example: 3 })
  partition!: number;

  @ApiProperty({ ...INT64, example: 1234 })
  offset!: number;

  @ApiProperty({ ...INT32, example: 0, description: 'Number of redrives so far' })
  redrives!: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-02T10:00:00.5+00:00' })
  created_at!: string;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    example: null,
    description: 'Time of the last redrive, or of the discard',
  })
  changed_at!: string | null;
}

/** A dead letter with its bytes, which hold personal data. A caller without the scope `export` does not get them. */
export class DeadLetterDetail extends DeadLetterView {
  @ApiPropertyOptional({
    enum: ['utf8', 'base64'],
    example: 'utf8',
    description: 'Encoding of key and value: base64 where one of them is not UTF-8. All three need the scope export',
  })
  encoding?: 'utf8' | 'base64';

  @ApiPropertyOptional({ type: String, nullable: true, example: 'ada@example.com' })
  key?: string | null;

  @ApiPropertyOptional({ type: String, nullable: true, example: '{"specversion":"1.0","id":"42", …}' })
  value?: string | null;
}

export class DeadLetterPage {
  @ApiProperty({ type: [DeadLetterView] })
  data!: DeadLetterView[];

  @NextId()
  next_cursor!: string | null;
}

/** Selects dead letters; all of them by default. */
export class RedriveFilter {
  @ApiPropertyOptional({ maxLength: MAX_LENGTH, pattern: PG_TEXT_PATTERN })
  @IsOptional()
  @IsPgText()
  @MaxLength(MAX_LENGTH, { message: `must be at most ${MAX_LENGTH} characters` })
  @IsString({ message: 'must be given once' })
  error_class?: string;

  @ApiPropertyOptional({ ...INT32, minimum: 0, maximum: 999_999_999 })
  @IsOptional()
  @Matches(/^\d{1,9}$/, { message: WHOLE_NUMBER })
  partition?: string;
}

export class ListDeadLetters extends IntersectionType(RedriveFilter, PageById) {
  @ApiPropertyOptional({ enum: STATES })
  @IsOptional()
  @IsIn(STATES, { message: `must be one of ${STATES.join(', ')}` })
  state?: DeadLetterState;
}

export const OUTCOMES = ['applied', 'superseded', 'failed'] as const;
export type Outcome = (typeof OUTCOMES)[number];

export class RedriveResult {
  @ApiProperty({ ...INT64, example: 7 })
  id!: number;

  @ApiProperty({
    enum: OUTCOMES,
    example: 'applied',
    description: 'superseded: Database 2 already has a newer version. failed: the dead letter stays open',
  })
  outcome!: Outcome;

  @ApiPropertyOptional({ description: 'The reason why it failed again' })
  error?: string;
}

export class RedriveSummary {
  @ApiProperty({ ...INT64, example: 2 })
  applied!: number;

  @ApiProperty({ ...INT64, example: 1 })
  superseded!: number;

  @ApiProperty({ ...INT64, example: 0 })
  failed!: number;
}
