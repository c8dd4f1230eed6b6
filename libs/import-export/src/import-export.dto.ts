import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, IsUUID, Length } from 'class-validator';
import { BUSINESS_COLUMN_NAMES, STATUSES } from '#events';
import { INT64 } from '#http';
import { REACTIVATE } from './csv.js';
import { DATE_FORMATS } from './dates.js';
import { type GivenFileOptions, PRESETS, UNKNOWN_COLUMNS } from './import-options.js';

/** Maximum length of an option that lists pairs. */
const MAX_PAIRS_LENGTH = 4_000;
const OTHER_STATUSES = 'Where the column of the table has an enum type, or STATUSES is set, the statuses are those';

/** An option with `name:value` pairs. The import checks them, because the fields and statuses depend on the table. */
function Pairs(values: readonly string[], description: string): PropertyDecorator {
  const pair = `[^,]*[^,\\s][^,]*:(${values.join('|')})`;
  return applyDecorators(
    ApiPropertyOptional({ type: String, pattern: `^${pair}(,${pair})*$`, maxLength: MAX_PAIRS_LENGTH, description }),
    IsOptional(),
    Length(1, MAX_PAIRS_LENGTH, { message: `must be 1 to ${MAX_PAIRS_LENGTH} characters, given only once` }),
  );
}

const OneOf = (values: readonly string[], description: string): PropertyDecorator =>
  applyDecorators(
    ApiPropertyOptional({ enum: values, description }),
    IsOptional(),
    IsIn(values, { message: `must be one of ${values.join(', ')}` }),
  );

export class StartImport implements GivenFileOptions {
  @ApiPropertyOptional({
    enum: ['true', 'false'],
    default: 'false',
    description: 'Check every line, including the rules of the database, and write nothing',
  })
  @IsOptional()
  @IsIn(['true', 'false'], { message: 'must be true or false' })
  dry_run?: string;

  @ApiPropertyOptional({
    format: 'uuid',
    description: 'A new id for the job. It allows a client to follow the job at /imports/{id} while it sends the file',
  })
  @IsOptional()
  @IsUUID('all', { message: 'must be a UUID' })
  id?: string;

  @OneOf(PRESETS, 'The options for an export of this tool. Options that are given, too, take precedence')
  preset?: GivenFileOptions['preset'];

  @Pairs(
    ['email', ...BUSINESS_COLUMN_NAMES, REACTIVATE],
    'The columns of the file that stand for a field and have another name, as in Email Address:email,Tier:plan. Names are compared without regard to case, spaces, underscores and hyphens',
  )
  columns?: string;

  @Pairs(
    STATUSES,
    `The statuses of the file and those that they stand for, as in subscribed:active,unsubscribed:canceled. ${OTHER_STATUSES}`,
  )
  status_map?: string;

  @ApiPropertyOptional({ enum: STATUSES, description: `The status of lines without one. ${OTHER_STATUSES}` })
  @IsOptional()
  @IsString({ message: 'must be given only once' })
  default_status?: string;

  @OneOf(
    DATE_FORMATS,
    'Accepts dates as in 2027-01-31 18:30 (iso), 31/01/2027 (dmy) or 1/31/2027 6:30 PM (mdy), with or without a time, in UTC where they have no offset. Without this option dates are RFC 3339',
  )
  date_format?: GivenFileOptions['date_format'];

  @OneOf(UNKNOWN_COLUMNS, 'Whether columns that stand for no field are refused, as they are by default, or ignored')
  unknown_columns?: GivenFileOptions['unknown_columns'];
}

export class LineErrorView {
  @ApiProperty({
    ...INT64,
    example: 12,
    description: 'Line number, from 1. In CSV the header is line 1. In a JSON array the position of the item, from 1',
  })
  line!: number;

  @ApiPropertyOptional({
    enum: ['/problems/illegal-transition'],
    description: 'The type of the problem, whose members the error has, too. Absent where the line itself is invalid',
  })
  type?: '/problems/illegal-transition';

  @ApiPropertyOptional({ example: 'status' })
  field?: string;

  @ApiPropertyOptional({
    example: '/metadata/order_id',
    description: 'JSON pointer (RFC 6901) to the value inside the object of the line, if the error is about a part of a field',
  })
  pointer?: string;

  @ApiPropertyOptional({ example: 'Subscription Status', description: 'The name of the field in the file, where it is another one' })
  column?: string;

  @ApiProperty({ example: 'must be one of pending, trialing, active, past_due, paused, canceled, expired' })
  detail!: string;

  @ApiPropertyOptional({ example: 'canceled', description: 'For an illegal transition: the current status' })
  from?: string;

  @ApiPropertyOptional({
    enum: STATUSES,
    isArray: true,
    example: [],
    description: 'For an illegal transition: the statuses that may follow. With STATUS_TRANSITIONS_FILE those of the file',
  })
  allowed?: readonly string[];

  @ApiPropertyOptional({
    enum: STATUSES,
    isArray: true,
    example: ['pending', 'trialing', 'active'],
    description:
      'For an illegal transition: further statuses that may follow when the line has `reactivate`. With STATUS_TRANSITIONS_FILE those of the file',
  })
  allowed_by_reactivation?: readonly string[];
}

export class ImportView {
  @ApiProperty({ example: '0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d', format: 'uuid' })
  id!: string;

  @ApiProperty({
    example: 'finished',
    enum: ['running', 'finished', 'failed', 'interrupted'],
    description: 'interrupted: the process that ran the import has ended',
  })
  state!: string;

  @ApiProperty({ example: false })
  dry_run!: boolean;

  @ApiProperty({ ...INT64, example: 3, description: 'Lines read so far, without empty lines' })
  lines!: number;

  @ApiProperty({ ...INT64, example: 1 })
  created!: number;

  @ApiProperty({ ...INT64, example: 1 })
  updated!: number;

  @ApiProperty({ ...INT64, example: 0, description: 'Lines that match the stored subscription already' })
  unchanged!: number;

  @ApiProperty({ ...INT64, example: 0, description: 'Lines replaced by a later line with the same email and status' })
  superseded!: number;

  @ApiProperty({ ...INT64, example: 1, description: 'Lines that were not written: see errors' })
  refused!: number;

  @ApiProperty({ type: [LineErrorView], description: 'The first 1,000 errors' })
  errors!: LineErrorView[];

  @ApiProperty({ example: false, description: 'Whether there are more errors than these. `refused` counts the lines of all of them' })
  has_more_errors!: boolean;

  @ApiProperty({ example: null, type: String, nullable: true, description: 'The reason of a failure' })
  error!: string | null;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', format: 'date-time' })
  started_at!: string;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', format: 'date-time' })
  changed_at!: string;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', type: String, format: 'date-time', nullable: true })
  finished_at!: string | null;
}

class PreviewColumn {
  @ApiProperty({ example: 'Email Address', description: 'Name of the column in the file' })
  name!: string;

  @ApiProperty({ example: 'email', type: String, nullable: true, description: 'The field for which it stands; null: it is not imported' })
  field!: string | null;
}

class PreviewLine {
  @ApiProperty({ ...INT64, example: 2 })
  line!: number;

  @ApiProperty({ type: 'object', additionalProperties: true, example: { email: 'ada@example.com', status: 'active' } })
  values!: Record<string, unknown>;
}

class PreviewView {
  @ApiProperty({ example: ';', type: String, nullable: true, description: 'The delimiter of a CSV file; null for JSON' })
  delimiter!: string | null;

  @ApiProperty({ type: [PreviewColumn] })
  columns!: PreviewColumn[];

  @ApiProperty({ type: [PreviewLine], description: 'The first 5 lines as they were read, before their check' })
  lines!: PreviewLine[];
}

/** The response of an import. */
export class FinishedImportView extends ImportView {
  @ApiPropertyOptional({
    type: PreviewView,
    description:
      'For a dry run of a CSV file, or of JSON with options: what the columns and the first lines became. It is not stored with the job',
  })
  preview?: PreviewView;
}

export class ExportSubscriptions {
  @ApiPropertyOptional({ enum: ['ndjson', 'csv'], description: 'Overrides the Accept header; ndjson by default' })
  @IsOptional()
  @IsIn(['ndjson', 'csv'], { message: 'must be ndjson or csv' })
  format?: 'ndjson' | 'csv';
}
