import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsUUID } from 'class-validator';
import { STATUSES } from '#events';

export class StartImport {
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
}

export class LineErrorView {
  @ApiProperty({ type: 'integer', example: 12, description: 'Line number, from 1. In CSV the header is line 1' })
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

  @ApiProperty({ type: 'integer', example: 3, description: 'Lines read so far, without empty lines' })
  lines!: number;

  @ApiProperty({ type: 'integer', example: 1 })
  created!: number;

  @ApiProperty({ type: 'integer', example: 1 })
  updated!: number;

  @ApiProperty({ type: 'integer', example: 0, description: 'Lines that match the stored subscription already' })
  unchanged!: number;

  @ApiProperty({ type: 'integer', example: 0, description: 'Lines replaced by a later line with the same email and status' })
  superseded!: number;

  @ApiProperty({ type: 'integer', example: 1, description: 'Lines that were not written: see errors' })
  refused!: number;

  @ApiProperty({ type: [LineErrorView], description: 'The first 1,000 errors' })
  errors!: LineErrorView[];

  @ApiProperty({ example: null, type: String, nullable: true, description: 'The reason of a failure' })
  error!: string | null;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', format: 'date-time' })
  started_at!: string;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', format: 'date-time' })
  changed_at!: string;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', type: String, format: 'date-time', nullable: true })
  finished_at!: string | null;
}

export class ExportSubscriptions {
  @ApiPropertyOptional({ enum: ['ndjson', 'csv'], description: 'Overrides the Accept header; ndjson by default' })
  @IsOptional()
  @IsIn(['ndjson', 'csv'], { message: 'must be ndjson or csv' })
  format?: 'ndjson' | 'csv';
}
