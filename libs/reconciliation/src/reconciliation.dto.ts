import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsIn, IsInt, IsOptional, IsString, Length, Matches, Max, Min, ValidateIf } from 'class-validator';
import { IsPgText, NextId, NUMBER_OF_QUERY, PageById, PG_TEXT_PATTERN, WHOLE_NUMBER } from '#http';
import { type DifferenceState, STATES } from './differences.js';
import { type Cause, CAUSES } from './recheck-rows.js';
import { type Kind, KINDS, type Outcome, OUTCOMES } from './runs.js';

const SCOPES = ['all', 'changed'] as const;
const EMAIL_LENGTH = 1_000;
const RANGE = { minLength: 1, maxLength: EMAIL_LENGTH, pattern: PG_TEXT_PATTERN };

/** A run over both databases. */
export class RunView {
  @ApiProperty({ type: 'integer', example: 12 })
  id!: number;

  @ApiProperty({
    enum: KINDS,
    description: 'compare: looks for rows that differ; resync: copies all rows first; republish: publishes all rows anew first',
    example: 'compare',
  })
  kind!: Kind;

  @ApiProperty({ example: 'scheduled', description: 'scheduled, requested, or how the chain was broken' })
  reason!: string;

  @ApiProperty({ enum: SCOPES, description: 'changed: only emails that were changed since the run before', example: 'all' })
  scope!: (typeof SCOPES)[number];

  @ApiProperty({ example: '', description: 'Emails above this one, in the order of their bytes' })
  after_email!: string;

  @ApiProperty({ type: String, nullable: true, description: 'Emails up to this one; null: to the end', example: null })
  until_email!: string | null;

  @ApiProperty({ example: 'grace@example.com', description: 'All emails of the range up to this one are done' })
  position!: string;

  @ApiProperty({ type: 'integer', example: 10, description: 'Percent of the time in which it works' })
  load!: number;

  @ApiProperty({
    type: 'integer',
    nullable: true,
    description: 'Rows a second that a resync brings at most; null: any number',
    example: null,
  })
  rate!: number | null;

  @ApiProperty({ example: false })
  paused!: boolean;

  @ApiProperty({ description: 'Whether it repairs what differs', example: true })
  repair!: boolean;

  @ApiProperty({
    type: 'integer',
    nullable: true,
    description: 'When more rows differ, no more are repaired; null: any number',
    example: 10_000,
  })
  repair_limit!: number | null;

  @ApiProperty({ description: 'Rows of Database 1 compared so far; of a resync, brought', type: 'integer', example: 1_000_000 })
  compared!: number;

  @ApiProperty({ description: 'Rows that are not the same now and may be on their way', type: 'integer', example: 2 })
  in_flight!: number;

  @ApiProperty({
    description: 'Rows that were not the same when everything had arrived',
    type: 'integer',
    example: 1,
  })
  differing!: number;

  @ApiProperty({ description: 'Of these, repaired and seen equal after it', type: 'integer', example: 1 })
  repaired!: number;

  @ApiProperty({ enum: OUTCOMES, nullable: true, description: 'null while it runs', example: 'repaired' })
  outcome!: Outcome | null;

  @ApiProperty({ format: 'date-time', example: '2026-11-25T23:00:00+00:00' })
  started_at!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: '2026-11-25T23:00:02+00:00' })
  finished_at!: string | null;
}

export class RunPage {
  @ApiProperty({ type: [RunView] })
  data!: RunView[];

  @NextId()
  next_cursor!: string | null;
}

/** A row that was not the same in both databases. */
export class DifferenceView {
  @ApiProperty({ type: 'integer', example: 7 })
  id!: number;

  @ApiProperty({ type: 'integer', example: 12, description: 'The run that found it' })
  run!: number;

  @ApiProperty({ format: 'email', example: 'ada@example.com' })
  email!: string;

  @ApiProperty({
    enum: CAUSES,
    description:
      'capture_hole: somebody got around the triggers of Database 1. missing, extra: only Database 1 has the row, or only Database 2. ' +
      'stale, ahead: Database 2 has an older or a newer version. content: the same version, other values',
    example: 'stale',
  })
  cause!: Cause;

  @ApiProperty({ enum: STATES, example: 'repaired' })
  state!: DifferenceState;

  @ApiProperty({ type: 'integer', nullable: true, example: 42 })
  version_in_db1!: number | null;

  @ApiProperty({ type: 'integer', nullable: true, example: 41 })
  version_in_db2!: number | null;

  @ApiProperty({ format: 'date-time', example: '2026-11-25T23:00:01+00:00' })
  found_at!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-25T23:00:02+00:00' })
  changed_at!: string;
}

export class DifferencePage {
  @ApiProperty({ type: [DifferenceView] })
  data!: DifferenceView[];

  @NextId()
  next_cursor!: string | null;
}

export class ListDifferences extends PageById {
  @ApiPropertyOptional(NUMBER_OF_QUERY)
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: WHOLE_NUMBER })
  run?: string;

  @ApiPropertyOptional({ enum: CAUSES })
  @IsOptional()
  @IsIn(CAUSES, { message: `must be one of ${CAUSES.join(', ')}` })
  cause?: Cause;

  @ApiPropertyOptional({ enum: STATES })
  @IsOptional()
  @IsIn(STATES, { message: `must be one of ${STATES.join(', ')}` })
  state?: DifferenceState;
}

const given = (_: unknown, value: unknown): boolean => value !== undefined;

/** Which rows. */
class KeyRange {
  @ApiPropertyOptional({ example: 'a', ...RANGE, description: 'Emails above this one, in the order of their bytes' })
  @ValidateIf(given)
  @IsPgText()
  @Length(1, EMAIL_LENGTH, { message: `must be 1 to ${EMAIL_LENGTH} characters` })
  @IsString({ message: 'must be a string' })
  after_email?: string;

  @ApiPropertyOptional({ example: 'b', ...RANGE, description: 'Emails up to this one' })
  @ValidateIf(given)
  @IsPgText()
  @Length(1, EMAIL_LENGTH, { message: `must be 1 to ${EMAIL_LENGTH} characters` })
  @IsString({ message: 'must be a string' })
  until_email?: string;
}

export class StartRun extends KeyRange {
  @ApiPropertyOptional({ default: true, example: true, description: 'false: what differs is found and explained, and left as it is' })
  @ValidateIf(given)
  @IsBoolean({ message: 'must be true or false' })
  repair?: boolean;

  @ApiPropertyOptional({ enum: SCOPES, default: 'all', description: 'changed: only emails that were changed since the run before; quick' })
  @ValidateIf(given)
  @IsIn(SCOPES, { message: `must be one of ${SCOPES.join(', ')}` })
  scope?: (typeof SCOPES)[number];

  @ApiPropertyOptional({
    type: 'integer',
    default: 100,
    example: 50,
    minimum: 1,
    maximum: 100,
    description: 'Percent of the time in which it works',
  })
  @ValidateIf(given)
  @Max(100, { message: 'must be 100 or less' })
  @Min(1, { message: 'must be 1 or more' })
  @IsInt({ message: WHOLE_NUMBER })
  load?: number;
}

export class StartResync extends KeyRange {
  @ApiPropertyOptional({ type: 'integer', example: 500, minimum: 1, maximum: 1_000_000, description: 'Rows a second at most' })
  @ValidateIf(given)
  @Max(1_000_000, { message: 'must be 1000000 or less' })
  @Min(1, { message: 'must be 1 or more' })
  @IsInt({ message: WHOLE_NUMBER })
  rate?: number;

  @ApiPropertyOptional({
    default: false,
    example: false,
    description: 'true: each row is published on the topic again, for all its readers; slower',
  })
  @ValidateIf(given)
  @IsBoolean({ message: 'must be true or false' })
  publish?: boolean;
}
