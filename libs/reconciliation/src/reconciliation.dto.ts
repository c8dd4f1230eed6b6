import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsIn, IsInt, IsOptional, IsString, Length, Matches, Max, Min, ValidateIf } from 'class-validator';
import { INT32, INT64, IsPgText, NextId, NUMBER_OF_QUERY, PageById, PG_TEXT_PATTERN, WHOLE_NUMBER } from '#http';
import { type DifferenceState, STATES } from './differences.js';
import { type Cause, CAUSES } from './recheck-rows.js';
import { type Kind, KINDS, type Outcome, OUTCOMES } from './runs.js';

const SCOPES = ['all', 'changed'] as const;
const MAX_EMAIL_LENGTH = 1_000;
const RANGE = { minLength: 1, maxLength: MAX_EMAIL_LENGTH, pattern: PG_TEXT_PATTERN };

const MASKED = 'Masked, as in a***@e***, unless the credential has the scope export';

/** A run that compares both databases. */
export class RunView {
  @ApiProperty({ ...INT64, example: 12 })
  id!: number;

  @ApiProperty({
    enum: KINDS,
    description: 'compare: finds rows that differ. resync: first copies all rows. republish: first publishes all rows again',
    example: 'compare',
  })
  kind!: Kind;

  @ApiProperty({ example: 'scheduled', description: 'scheduled, requested, or the continuity gaps that were found' })
  reason!: string;

  @ApiProperty({ enum: SCOPES, description: 'changed: only emails that were changed since the previous run', example: 'all' })
  scope!: (typeof SCOPES)[number];

  @ApiProperty({ example: '', description: `Only emails above this one, in the order of their bytes. ${MASKED}` })
  after_email!: string;

  @ApiProperty({ type: String, nullable: true, description: `Only emails up to this one; null: no upper limit. ${MASKED}`, example: null })
  until_email!: string | null;

  @ApiProperty({ example: 'grace@example.com', description: `Progress: all emails of the range up to this one are done. ${MASKED}` })
  position!: string;

  @ApiProperty({ ...INT32, example: 10, description: 'Percentage of the time that the run works' })
  load!: number;

  @ApiProperty({
    ...INT32,
    nullable: true,
    description: 'Maximum number of rows per second that a resync copies; null: no limit',
    example: null,
  })
  rate!: number | null;

  @ApiProperty({ example: false })
  paused!: boolean;

  @ApiProperty({ example: false, description: 'Whether a scheduled run is paused only until a requested run has ended' })
  yielded!: boolean;

  @ApiProperty({ description: 'Whether the run repairs differences', example: true })
  repair!: boolean;

  @ApiProperty({
    ...INT64,
    nullable: true,
    description: 'Maximum number of differences that are repaired; null: no limit',
    example: 10_000,
  })
  repair_limit!: number | null;

  @ApiProperty({
    description: 'Number of rows of Database 1 compared so far; of a resync, rows copied to Database 2',
    ...INT64,
    example: 1_000_000,
  })
  compared!: number;

  @ApiProperty({ description: 'Number of rows that differ now and may be on their way', ...INT64, example: 2 })
  in_flight!: number;

  @ApiProperty({
    description: 'Number of rows that still differed after all changes had arrived',
    ...INT64,
    example: 1,
  })
  differing!: number;

  @ApiProperty({ description: 'Number of these rows that were repaired and then seen equal', ...INT64, example: 1 })
  repaired!: number;

  @ApiProperty({ enum: OUTCOMES, nullable: true, description: 'null while the run is unfinished', example: 'repaired' })
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

/** A row that differed between the databases. */
export class DifferenceView {
  @ApiProperty({ ...INT64, example: 7 })
  id!: number;

  @ApiProperty({ ...INT64, example: 12, description: 'The run that found it' })
  run!: number;

  @ApiProperty({ example: 'ada@example.com', description: MASKED })
  email!: string;

  @ApiProperty({
    enum: CAUSES,
    description:
      'foreign: Database 2 has a version that Database 1 never drew. capture_hole: a program bypassed the triggers of Database 1. missing, extra: only Database 1 has the row, or only Database 2. ' +
      'stale, ahead: Database 2 has an older or a newer version. content: the versions are equal, the values are not',
    example: 'stale',
  })
  cause!: Cause;

  @ApiProperty({ enum: STATES, example: 'repaired' })
  state!: DifferenceState;

  @ApiProperty({ ...INT64, nullable: true, example: 42 })
  version_in_db1!: number | null;

  @ApiProperty({ ...INT64, nullable: true, example: 41 })
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

/** The rows that a run covers. */
class KeyRange {
  @ApiPropertyOptional({ example: 'a', ...RANGE, description: 'Only emails above this one, in the order of their bytes' })
  @ValidateIf(given)
  @IsPgText()
  @Length(1, MAX_EMAIL_LENGTH, { message: `must be 1 to ${MAX_EMAIL_LENGTH} characters` })
  @IsString({ message: 'must be a string' })
  after_email?: string;

  @ApiPropertyOptional({ example: 'b', ...RANGE, description: 'Only emails up to this one' })
  @ValidateIf(given)
  @IsPgText()
  @Length(1, MAX_EMAIL_LENGTH, { message: `must be 1 to ${MAX_EMAIL_LENGTH} characters` })
  @IsString({ message: 'must be a string' })
  until_email?: string;
}

export class StartRun extends KeyRange {
  @ApiPropertyOptional({ default: true, example: true, description: 'false: differences are found and explained, but not repaired' })
  @ValidateIf(given)
  @IsBoolean({ message: 'must be true or false' })
  repair?: boolean;

  @ApiPropertyOptional({
    enum: SCOPES,
    default: 'all',
    description: 'changed: only emails that were changed since the previous run, which is quick',
  })
  @ValidateIf(given)
  @IsIn(SCOPES, { message: `must be one of ${SCOPES.join(', ')}` })
  scope?: (typeof SCOPES)[number];

  @ApiPropertyOptional({
    ...INT32,
    default: 100,
    example: 50,
    minimum: 1,
    maximum: 100,
    description: 'Percentage of the time that the run works',
  })
  @ValidateIf(given)
  @Max(100, { message: 'must be 100 or less' })
  @Min(1, { message: 'must be 1 or more' })
  @IsInt({ message: WHOLE_NUMBER })
  load?: number;
}

export class StartResync extends KeyRange {
  @ApiPropertyOptional({ ...INT32, example: 500, minimum: 1, maximum: 1_000_000, description: 'Maximum number of rows per second' })
  @ValidateIf(given)
  @Max(1_000_000, { message: 'must be 1000000 or less' })
  @Min(1, { message: 'must be 1 or more' })
  @IsInt({ message: WHOLE_NUMBER })
  rate?: number;

  @ApiPropertyOptional({
    default: false,
    example: false,
    description: 'true: each row is published on the topic again, for all its readers, which is slower',
  })
  @ValidateIf(given)
  @IsBoolean({ message: 'must be true or false' })
  publish?: boolean;
}
