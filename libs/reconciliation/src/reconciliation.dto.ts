import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsIn, IsOptional, Matches, ValidateIf } from 'class-validator';
import { PageById, WHOLE_NUMBER } from '#operations';
import { CAUSES, type Cause } from './cause.js';
import { STATES, type DifferenceState } from './differences.js';
import { OUTCOMES, type Outcome } from './runs.js';

/** A comparison of both databases. */
export class RunView {
  @ApiProperty({ example: 12 })
  id!: number;

  @ApiProperty({ example: 'scheduled', description: 'scheduled, requested, or how the chain was broken' })
  reason!: string;

  @ApiProperty({ description: 'Whether it repairs what differs' })
  repair!: boolean;

  @ApiProperty({ type: Number, nullable: true, description: 'When more rows differ, no more are repaired; null: any number' })
  at_most!: number | null;

  @ApiProperty({ description: 'Rows of Database 1 compared so far' })
  compared!: number;

  @ApiProperty({ description: 'Rows that were not the same when everything had arrived' })
  differing!: number;

  @ApiProperty({ description: 'Of these, repaired and seen equal after it' })
  repaired!: number;

  @ApiProperty({ enum: OUTCOMES, nullable: true, description: 'null while it runs' })
  outcome!: Outcome | null;

  @ApiProperty({ format: 'date-time' })
  started_at!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  finished_at!: string | null;
}

export class RunPage {
  @ApiProperty({ type: [RunView] })
  data!: RunView[];

  @ApiProperty({ type: String, nullable: true, description: 'For the next page; null on the last' })
  next_cursor!: string | null;
}

/** A row that was not the same in both databases. */
export class DifferenceView {
  @ApiProperty({ example: 7 })
  id!: number;

  @ApiProperty({ example: 12, description: 'The run that found it' })
  run!: number;

  @ApiProperty({ format: 'email', example: 'ada@example.com' })
  email!: string;

  @ApiProperty({
    enum: CAUSES,
    description:
      'capture_hole: somebody got around the triggers of Database 1. missing, extra: only Database 1 has the row, or only Database 2. ' +
      'stale, ahead: Database 2 has an older or a newer version. content: the same version, other values',
  })
  cause!: Cause;

  @ApiProperty({ enum: STATES })
  state!: DifferenceState;

  @ApiProperty({ type: Number, nullable: true })
  version_in_db1!: number | null;

  @ApiProperty({ type: Number, nullable: true })
  version_in_db2!: number | null;

  @ApiProperty({ format: 'date-time' })
  found_at!: string;

  @ApiProperty({ format: 'date-time' })
  changed_at!: string;
}

export class DifferencePage {
  @ApiProperty({ type: [DifferenceView] })
  data!: DifferenceView[];

  @ApiProperty({ type: String, nullable: true, description: 'For the next page; null on the last' })
  next_cursor!: string | null;
}

export class ListDifferences extends PageById {
  @ApiPropertyOptional({ type: Number })
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

export class StartRun {
  @ApiPropertyOptional({ default: true, description: 'false: what differs is found and explained, and left as it is' })
  @ValidateIf((_, value) => value !== undefined)
  @IsBoolean({ message: 'must be true or false' })
  repair?: boolean;
}
