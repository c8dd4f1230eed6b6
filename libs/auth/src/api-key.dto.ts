import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { ArrayNotEmpty, ArrayUnique, IsArray, IsIn, IsInt, IsOptional, Matches, Max, Min, ValidateIf } from 'class-validator';
import { INT32, PageSize, type Scope, SCOPES } from '#http';

const DAY_S = 86_400;
const TEN_YEARS_S = 3_650 * DAY_S;
const isPresent = (_: unknown, value: unknown): boolean => value !== undefined;

/** Format of a key's name: printable in histories and on terminals. Without `@`, so that no key is named after an email. */
export const KEY_NAME = /^[\w .:/-]{1,64}$/;

/** Format of a key's id. */
export const KEY_ID = /^[0-9a-f]{16}$/;

export class CreateKey {
  @ApiProperty({
    example: 'billing-job',
    pattern: '^[A-Za-z0-9_ .:/-]{1,64}$',
    description:
      'Name of the program or person that uses the key: up to 64 letters, digits, spaces and _ . : / -. It appears in the history',
  })
  @Matches(KEY_NAME, { message: 'must be 1 to 64 letters, digits, spaces or _ . : / -' })
  name!: string;

  @ApiProperty({ enum: SCOPES, isArray: true, minItems: 1, uniqueItems: true, example: ['read', 'write'] })
  @IsArray({ message: 'must be a list' })
  @ArrayNotEmpty({ message: 'must name at least one scope' })
  @ArrayUnique({ message: 'must name each scope once' })
  @IsIn(SCOPES, { each: true, message: `must be some of ${SCOPES.join(', ')}` })
  scopes!: Scope[];

  @ApiPropertyOptional({
    ...INT32,
    example: 90 * DAY_S,
    minimum: 1,
    maximum: TEN_YEARS_S,
    description: 'Lifetime in seconds. Without it, the key never expires',
  })
  @ValidateIf(isPresent)
  @IsInt({ message: 'must be a whole number of seconds' })
  @Min(1, { message: 'must be at least 1' })
  @Max(TEN_YEARS_S, { message: `must be at most ${TEN_YEARS_S}` })
  expires_in?: number;
}

export class RotateKey {
  @ApiPropertyOptional({
    ...INT32,
    example: DAY_S,
    default: DAY_S,
    minimum: 0,
    maximum: 90 * DAY_S,
    description: 'Seconds for which the old key stays valid',
  })
  @ValidateIf(isPresent)
  @IsInt({ message: 'must be a whole number of seconds' })
  @Min(0, { message: 'must be at least 0' })
  @Max(90 * DAY_S, { message: `must be at most ${90 * DAY_S}` })
  overlap?: number;
}

export class KeyView {
  @ApiProperty({ example: '5f0c6a0e6f1d4b0e' })
  id!: string;

  @ApiProperty({ example: 'ssk_5f0c6a0e6f1d4b0e', description: 'The beginning of the key' })
  prefix!: string;

  @ApiProperty({ example: 'billing-job' })
  name!: string;

  @ApiProperty({ enum: SCOPES, isArray: true, example: ['read', 'write'] })
  scopes!: readonly Scope[];

  @ApiProperty({ format: 'date-time', example: '2026-01-31T09:30:00.000Z' })
  created_at!: Date;

  @ApiProperty({ example: 'key:deploy:0c2f9e1a77d04b1c' })
  created_by!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: '2026-05-01T09:30:00.000Z' })
  expires_at!: Date | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: null })
  revoked_at!: Date | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: null, description: 'Accurate to the hour' })
  last_used_at!: Date | null;

  @ApiProperty({ type: String, nullable: true, example: null, description: 'The id of the key that replaced this one' })
  replaced_by!: string | null;

  @ApiProperty({
    example: false,
    description: 'Whether the key was made by a request that needed no credential (ACCESS=open). Such a key is not valid until it is kept',
  })
  created_in_open_mode!: boolean;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    example: null,
    description: 'When an operator kept such a key, with `npx subscription-sync keys keep`',
  })
  kept_at!: Date | null;
}

export class NewKeyView extends KeyView {
  @ApiProperty({ example: 'ssk_5f0c6a0e6f1d4b0e_3q2-7wEB…', description: 'The whole key. It is never shown again' })
  key!: string;
}

export class KeyPage {
  @ApiProperty({ type: [KeyView], description: 'Newest first' })
  data!: KeyView[];

  @ApiProperty({ type: String, nullable: true, example: '5f0c6a0e6f1d4b0e', description: 'Cursor of the next page; null on the last page' })
  next_cursor!: string | null;
}

export class ListKeys extends PageSize {
  @ApiPropertyOptional({ pattern: KEY_ID.source, description: '`next_cursor` of the previous page' })
  @IsOptional()
  @Matches(KEY_ID, { message: 'must be the next_cursor of a page of this list' })
  cursor?: string;
}
