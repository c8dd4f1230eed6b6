import { escapeIdentifier, escapeLiteral } from 'pg';
import { BUSINESS_COLUMN_NAMES } from '#events';
import { columnOf, isWritable, type SubscriptionTable } from '#postgres';

/** A column that the API writes. */
export interface WrittenColumn {
  /** Its name in the API. */
  readonly field: string;
  /** Its name in the table. */
  readonly column: string;
  /** The same as SQL. */
  readonly name: string;
}

/** Returns the business columns that the table has and does not compute itself, in order. */
export function writtenColumns(table: SubscriptionTable): WrittenColumn[] {
  return BUSINESS_COLUMN_NAMES.flatMap((field) => {
    const column = columnOf(table, field);
    return column && isWritable(table, field) ? [{ field, column: column.name, name: escapeIdentifier(column.name) }] : [];
  });
}

/** Returns those columns of `fields`, as SQL, that hold the time of a write. */
export function touched(table: SubscriptionTable, fields: readonly string[]): string[] {
  return fields.flatMap((field) => {
    const column = columnOf(table, field);
    return column && isWritable(table, field) && column.category === 'D' ? [escapeIdentifier(column.name)] : [];
  });
}

/** Returns a value as a SQL literal. Objects become JSON. */
export function literal(value: unknown): string {
  return escapeLiteral(typeof value === 'string' ? value : JSON.stringify(value));
}
