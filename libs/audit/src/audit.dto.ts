import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { IsPgText, NextId, PageById, PG_TEXT_PATTERN } from '#http';
import { ACTIONS, type AuditAction } from './act.js';

const MAX_ACTOR_LENGTH = 300;
/** A second of the present century in UTC. A day after the end of its month is one of the next month, as JavaScript counts. */
const TIME = String.raw`^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$`;
const TIME_RULE = 'must be a time in UTC, as in 2026-01-31T09:30:00Z';

/** An entry of the audit log. */
export class AuditEntry {
  @ApiProperty({ type: 'integer', format: 'int64', example: 57 })
  id!: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-02T10:00:00.5+00:00' })
  recorded_at!: string;

  @ApiProperty({
    example: 'key:deploy:0c2f9e1a77d04b1c',
    description: 'The caller, or `cli:` and the user of the operating system, which the command line claims',
  })
  actor!: string;

  @ApiProperty({
    type: String,
    nullable: true,
    example: '192.0.2.7',
    description: 'Address of the caller, as trusted proxies report it; for the command line the name of its host, which it claims',
  })
  address!: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    example: '5f0c6a0e-6f1d-4b0e-8d55-0d7a8d0f4c1e',
    description: 'Id of the request, as in the log; null for the command line',
  })
  request_id!: string | null;

  @ApiProperty({ enum: ACTIONS, example: 'key.create' })
  action!: AuditAction;

  @ApiProperty({
    type: String,
    nullable: true,
    example: '5f0c6a0e6f1d4b0e',
    description: 'Id of the key, the run, the dead letter or the import',
  })
  target!: string | null;

  @ApiProperty({ type: 'object', additionalProperties: true, example: { name: 'billing-job', scopes: ['write'] } })
  details!: Readonly<Record<string, unknown>>;

  @ApiProperty({ example: 'subscriptions_api', description: 'User of Database 1 by which the entry was written' })
  database_user!: string;
}

export class AuditPage {
  @ApiProperty({ type: [AuditEntry], description: 'Newest first' })
  data!: AuditEntry[];

  @NextId()
  next_cursor!: string | null;
}

export class ListAudit extends PageById {
  @ApiPropertyOptional({ maxLength: MAX_ACTOR_LENGTH, pattern: PG_TEXT_PATTERN, description: 'Only acts of this actor' })
  @IsOptional()
  @IsPgText()
  @MaxLength(MAX_ACTOR_LENGTH, { message: `must be at most ${MAX_ACTOR_LENGTH} characters` })
  @IsString({ message: 'must be given once' })
  actor?: string;

  @ApiPropertyOptional({ enum: ACTIONS, description: 'Only these acts' })
  @IsOptional()
  @IsIn(ACTIONS, { message: `must be one of ${ACTIONS.join(', ')}` })
  action?: AuditAction;

  @ApiPropertyOptional({ pattern: TIME, example: '2026-01-31T00:00:00Z', description: 'Only acts at this time or later, in UTC' })
  @IsOptional()
  @Matches(new RegExp(TIME), { message: TIME_RULE })
  since?: string;

  @ApiPropertyOptional({ pattern: TIME, example: '2026-02-01T00:00:00Z', description: 'Only acts before this time, in UTC' })
  @IsOptional()
  @Matches(new RegExp(TIME), { message: TIME_RULE })
  until?: string;
}
