import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsUUID } from 'class-validator';

export class StartImport {
  @ApiPropertyOptional({
    enum: ['true', 'false'],
    default: 'false',
    description: 'Check everything, the database included, and write nothing',
  })
  @IsOptional()
  @IsIn(['true', 'false'], { message: 'must be true or false' })
  dry_run?: string;

  @ApiPropertyOptional({ format: 'uuid', description: 'A new id for the job, to follow it at /imports/{id} while the file is sent' })
  @IsOptional()
  @IsUUID('all', { message: 'must be a UUID' })
  id?: string;
}

export class LineErrorView {
  @ApiProperty({ example: 12, description: 'From 1; of CSV the header is line 1' })
  line!: number;

  @ApiPropertyOptional({ example: 'status' })
  field?: string;

  @ApiProperty({ example: 'must be one of pending, trialing, active, past_due, paused, canceled, expired' })
  detail!: string;
}

export class ImportView {
  @ApiProperty({ format: 'uuid' })
  id!: string;

  @ApiProperty({ enum: ['running', 'finished', 'failed', 'interrupted'], description: 'interrupted: its process ended' })
  state!: string;

  @ApiProperty()
  dry_run!: boolean;

  @ApiProperty({ description: 'Read so far; empty ones are none' })
  lines!: number;

  @ApiProperty()
  created!: number;

  @ApiProperty()
  updated!: number;

  @ApiProperty({ description: 'That say what was there already' })
  unchanged!: number;

  @ApiProperty({ description: 'Whose email came again soon after: the later one counts' })
  superseded!: number;

  @ApiProperty({ description: 'That were not written: see errors' })
  refused!: number;

  @ApiProperty({ type: [LineErrorView], description: 'The first 1,000' })
  errors!: LineErrorView[];

  @ApiProperty({ type: String, nullable: true, description: 'Why it failed' })
  error!: string | null;

  @ApiProperty({ format: 'date-time' })
  started_at!: string;

  @ApiProperty({ format: 'date-time' })
  changed_at!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  finished_at!: string | null;
}

export class ExportSubscriptions {
  @ApiPropertyOptional({ enum: ['ndjson', 'csv'], description: 'Goes before Accept; ndjson by default' })
  @IsOptional()
  @IsIn(['ndjson', 'csv'], { message: 'must be ndjson or csv' })
  format?: 'ndjson' | 'csv';
}
