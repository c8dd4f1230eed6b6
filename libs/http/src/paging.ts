import type { PipeTransform } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { INT32, INT64 } from './openapi-decorators.js';
import { wrongFields } from './validation.js';

const LIMIT = { default: 100, max: 500 } as const;
export const WHOLE_NUMBER = 'must be a whole number';

/** Query parameter of every list. */
export class PageSize {
  @ApiPropertyOptional({
    ...INT32,
    default: LIMIT.default,
    minimum: 1,
    maximum: LIMIT.max,
    description: 'Maximum number of items in the page',
  })
  @IsOptional()
  @Matches(/^([1-9]|[1-9]\d|[1-4]\d\d|500)$/, { message: `${WHOLE_NUMBER} from 1 to ${LIMIT.max}` })
  limit?: string;
}

/** Query parameters of a list that is sorted by id. The cursor is the last id of the previous page. */
export class PageById extends PageSize {
  @ApiPropertyOptional({ pattern: '^[0-9]{1,15}$', description: '`next_cursor` of the previous page' })
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: 'must be the next_cursor of a page of this list' })
  cursor?: string;
}

/** Returns the maximum number of rows of the requested page. */
export function limitOf({ limit }: PageSize): number {
  return Number(limit ?? LIMIT.default);
}

/** Builds a page from `size + 1` selected rows; the extra row only shows that there is another page. */
export function pageById<Row extends { id: number | string }>(
  rows: readonly Row[],
  size: number,
): { data: Row[]; next_cursor: string | null } {
  const data = rows.slice(0, size);
  return { data, next_cursor: rows.length > size ? String(data.at(-1)!.id) : null };
}

/** OpenAPI schema of the numbers that {@link IdPipe} and query parameters accept. */
export const NUMBER_OF_QUERY = { ...INT64, minimum: 0, maximum: 999_999_999_999_999 } as const;

/** Documents `next_cursor` of a page that is sorted by id. */
export const NextId = (): PropertyDecorator =>
  ApiProperty({ type: String, nullable: true, example: '57', description: 'Cursor of the next page; null on the last page' });

/** Parses the id in a path. Ids stay below 2^53. */
export class IdPipe implements PipeTransform<string, number> {
  constructor(private readonly noun: string) {}

  transform(value: string): number {
    if (!/^\d{1,15}$/.test(value)) {
      throw wrongFields([{ field: 'id', detail: WHOLE_NUMBER }], `The path must contain the id of a ${this.noun}`);
    }
    return Number(value);
  }
}
