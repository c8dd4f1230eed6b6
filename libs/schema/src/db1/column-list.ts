import { BUSINESS_COLUMN_NAMES } from '#events';

/** Returns the business columns as a SQL list, each with a prefix such as `excluded.`. */
export function columnList(prefix = ''): string {
  return BUSINESS_COLUMN_NAMES.map((name) => prefix + name).join(', ');
}

/** Returns a value as a SQL literal. Objects become JSON. */
export function literal(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return `'${text.replaceAll("'", "''")}'`;
}
