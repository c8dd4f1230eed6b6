import type { PipeTransform } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { wrongFields } from './validation.js';

const LIMIT = { default: 100, most: 500 } as const;
export const WHOLE_NUMBER = 'must be a whole number';

/** Of every list. */
export class PageSize {
  @ApiPropertyOptional({ type: 'integer', default: LIMIT.default, minimum: 1, maximum: LIMIT.most })
  @IsOptional()
  @Matches(/^([1-9]|[1-9]\d|[1-4]\d\d|500)$/, { message: `${WHOLE_NUMBER} from 1 to ${LIMIT.most}` })
  limit?: string;
}

/** Of a list in the order of ids: the cursor is the last id of the page before. */
export class PageById extends PageSize {
  @ApiPropertyOptional({ pattern: '^[0-9]{1,15}$', description: '`next_cursor` of the page before' })
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: 'must be a next_cursor of this list' })
  cursor?: string;
}

/** Rows of a page at most. */
export function limitOf({ limit }: PageSize): number {
  return Number(limit ?? LIMIT.default);
}

/** Of `size + 1` rows that were asked for, the page, and whether there is another one. */
export function pageById<Row extends { id: number }>(rows: readonly Row[], size: number): { data: Row[]; next_cursor: string | null } {
  const data = rows.slice(0, size);
  return { data, next_cursor: rows.length > size ? String(data.at(-1)!.id) : null };
}

/** What {@link IdPipe} takes, and queries that name a number, for the API's description. */
export const NUMBER_OF_QUERY = { type: 'integer', minimum: 0, maximum: 999_999_999_999_999 } as const;

/** `next_cursor` of a page by ids. */
export const NextId = (): PropertyDecorator =>
  ApiProperty({ type: String, nullable: true, example: '57', description: 'For the next page; null on the last' });

/** The id of a path. Ids stay below 2^53. */
export class IdPipe implements PipeTransform<string, number> {
  constructor(private readonly noun: string) {}

  transform(value: string): number {
    if (!/^\d{1,15}$/.test(value)) {
      throw wrongFields([{ field: 'id', detail: WHOLE_NUMBER }], `The path names no ${this.noun}`);
    }
    return Number(value);
  }
}
