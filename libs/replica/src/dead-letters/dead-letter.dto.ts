import { ApiProperty, ApiPropertyOptional, IntersectionType } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { PageById, WHOLE_NUMBER } from '#operations';

/** `open`: nobody has dealt with it. `applied` and `superseded`: by a redrive. */
export const STATES = ['open', 'applied', 'superseded', 'discarded'] as const;
export type DeadLetterState = (typeof STATES)[number];

const LONGEST = 300;

/** A record that could not be applied, without its bytes. */
export class DeadLetterView {
  @ApiProperty({ example: 7 })
  id!: number;

  @ApiProperty({ enum: STATES })
  state!: DeadLetterState;

  @ApiProperty({ example: '22001', description: "Why: a SQLSTATE of Database 2, or a kind of bad record ('not-json')" })
  error_class!: string;

  @ApiProperty({ example: 'DB2 refused version 42: SQLSTATE 22001', description: 'Of the first try, or of the last redrive' })
  error!: string;

  @ApiProperty()
  topic!: string;

  @ApiProperty()
  partition!: number;

  @ApiProperty()
  offset!: number;

  @ApiProperty({ description: 'How often it was tried again' })
  redrives!: number;

  @ApiProperty({ format: 'date-time' })
  created_at!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, description: 'Of the last redrive, or of the discard' })
  changed_at!: string | null;
}

/** With its bytes. They hold personal data. */
export class DeadLetterDetail extends DeadLetterView {
  @ApiProperty({ enum: ['utf8', 'base64'], description: 'Of key and value: base64 where one of them is not UTF-8' })
  encoding!: 'utf8' | 'base64';

  @ApiProperty({ type: String, nullable: true })
  key!: string | null;

  @ApiProperty({ type: String, nullable: true })
  value!: string | null;
}

export class DeadLetterPage {
  @ApiProperty({ type: [DeadLetterView] })
  data!: DeadLetterView[];

  @ApiProperty({ type: String, nullable: true, description: 'For the next page; null on the last' })
  next_cursor!: string | null;
}

/** Which dead letters are meant; all of them by default. */
export class RedriveFilter {
  @ApiPropertyOptional({ example: '22001' })
  @IsOptional()
  @MaxLength(LONGEST, { message: `must be at most ${LONGEST} characters` })
  @IsString({ message: 'must be given once' })
  error_class?: string;

  @ApiPropertyOptional({ type: Number })
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
  @ApiProperty({ example: 7 })
  id!: number;

  @ApiProperty({ enum: OUTCOMES, description: 'superseded: Database 2 has a newer version already. failed: it stays open' })
  outcome!: Outcome;

  @ApiPropertyOptional({ description: 'Why it failed again' })
  error?: string;
}

export class RedriveSummary {
  @ApiProperty()
  applied!: number;

  @ApiProperty()
  superseded!: number;

  @ApiProperty()
  failed!: number;
}
