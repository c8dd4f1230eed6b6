import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsUUID } from 'class-validator';
import { type Status, STATUSES } from '#events';

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
  @ApiProperty({ type: 'integer', example: 12, description: 'From 1; of CSV the header is line 1' })
  line!: number;

  @ApiPropertyOptional({
    enum: ['/problems/illegal-transition'],
    description: 'Of what kind of problem it is, with the members of such a problem; left out where the line itself is wrong',
  })
  type?: '/problems/illegal-transition';

  @ApiPropertyOptional({ example: 'status' })
  field?: string;

  @ApiProperty({ example: 'must be one of pending, trialing, active, past_due, paused, canceled, expired' })
  detail!: string;

  @ApiPropertyOptional({ example: 'canceled', description: 'Of an illegal transition: the status that is there' })
  from?: string;

  @ApiPropertyOptional({ enum: STATUSES, isArray: true, example: [], description: 'Of an illegal transition: what may follow' })
  allowed?: readonly Status[];

  @ApiPropertyOptional({
    enum: STATUSES,
    isArray: true,
    example: ['pending', 'trialing', 'active'],
    description: 'Of an illegal transition: what may when the line says `reactivate`',
  })
  allowed_by_reactivation?: readonly Status[];
}

export class ImportView {
  @ApiProperty({ example: '0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d', format: 'uuid' })
  id!: string;

  @ApiProperty({
    example: 'finished',
    enum: ['running', 'finished', 'failed', 'interrupted'],
    description: 'interrupted: its process ended',
  })
  state!: string;

  @ApiProperty({ example: false })
  dry_run!: boolean;

  @ApiProperty({ type: 'integer', example: 3, description: 'Read so far; empty ones are none' })
  lines!: number;

  @ApiProperty({ type: 'integer', example: 1 })
  created!: number;

  @ApiProperty({ type: 'integer', example: 1 })
  updated!: number;

  @ApiProperty({ type: 'integer', example: 0, description: 'That say what was there already' })
  unchanged!: number;

  @ApiProperty({ type: 'integer', example: 0, description: 'Whose email came again soon after with the same status: the later one counts' })
  superseded!: number;

  @ApiProperty({ type: 'integer', example: 1, description: 'That were not written: see errors' })
  refused!: number;

  @ApiProperty({ type: [LineErrorView], description: 'The first 1,000' })
  errors!: LineErrorView[];

  @ApiProperty({ example: null, type: String, nullable: true, description: 'Why it failed' })
  error!: string | null;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', format: 'date-time' })
  started_at!: string;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', format: 'date-time' })
  changed_at!: string;

  @ApiProperty({ example: '2026-11-02T10:00:00.5+00:00', type: String, format: 'date-time', nullable: true })
  finished_at!: string | null;
}

export class ExportSubscriptions {
  @ApiPropertyOptional({ enum: ['ndjson', 'csv'], description: 'Goes before Accept; ndjson by default' })
  @IsOptional()
  @IsIn(['ndjson', 'csv'], { message: 'must be ndjson or csv' })
  format?: 'ndjson' | 'csv';
}
