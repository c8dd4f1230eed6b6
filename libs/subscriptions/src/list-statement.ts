import { isPgText, wrongFields } from '#http';
import { keyInOrder, keyOperator, rowJson, type SubscriptionTable } from '#postgres';
import type { Sort } from './subscription.dto.js';

export interface ListOptions {
  readonly sort: Sort;
  /** Email, as it is in the table, at which the previous page ended. The row may have been deleted since; the rows after it are still the same. */
  readonly after?: string | undefined;
  readonly limit: number;
  readonly status?: readonly string[] | undefined;
  readonly plan?: string | undefined;
  readonly email_prefix?: string | undefined;
}

interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

/** A row of the page; or, without a body, the email at which scanning ended before the page was full. */
export interface ListedRow {
  readonly email: string;
  readonly body: string | null;
}

/**
 * Maximum number of rows that a page scans in its order, which bounds its time whatever the filters are. For this reason a page may be shorter
 * than its limit, or empty; the next page continues behind it.
 */
const MAX_SCANNED_ROWS = 2_000;
/**
 * Maximum number of statuses that are found through their index. Each status adds a page of its own to the merge, so that more of them are found
 * sooner by scanning all rows. Finding a row in the index and then reading it counts as two scanned rows.
 */
const MAX_INDEXED_STATUSES = 3;

const LAST_CHARACTER = '\u{10ffff}';

/**
 * Builds the statement for one page and one extra row, which shows that there is another page. The statement sees one snapshot, so that no row is
 * skipped between the page and the position at which scanning ended. The order is that of the index of the emails. `fields` are those of a
 * row. The table must have a column for each filter, and its enum type each status.
 */
export function listStatement(table: SubscriptionTable, fields: readonly string[], options: ListOptions): Statement {
  const { sql, key, keyColumn, status: statusName, statusColumn } = table;
  const email = keyInOrder(table, 's');
  const values: unknown[] = [];
  const bind = (value: unknown, type: string): string => `$${values.push(value)}::${type}`;
  const [direction, beyond] = options.sort === '-email' ? ['DESC', '<'] : ['ASC', '>'];
  const order = `${email} ${direction}`;

  // `range` holds conditions that the index of the emails can evaluate; `filters` are evaluated for each scanned row.
  const range: string[] = keyColumn.nullable ? [`s.${key} IS NOT NULL`] : [];
  const filters: string[] = [];
  if (options.after !== undefined) range.push(`${email} ${keyOperator(table, beyond)} ${bind(options.after, keyColumn.typeOfAnyLength)}`);
  if (options.email_prefix !== undefined) {
    const normalised = (text: string): string => `subscription_sync.normalize_email(${bind(text, 'text')})`;
    if (table.orderedByBytes) {
      range.push(`${email} >= ${normalised(options.email_prefix)} AND ${email} < ${normalised(options.email_prefix + LAST_CHARACTER)}`);
    } else {
      filters.push(`starts_with(subscription_sync.normalize_email(s.${key}::text), ${normalised(options.email_prefix)})`);
    }
  }
  if (options.plan !== undefined) filters.push(`s.plan::text = ${bind(options.plan, 'text')}`);
  // The index is searched once for each status, so a repeated status would return its rows twice.
  const status = options.status && [...new Set(options.status)];
  const statuses = status === undefined ? '' : bind(status, 'text[]');
  const byStatus = table.orderedByStatus && status !== undefined && status.length <= MAX_INDEXED_STATUSES;
  if (status !== undefined && !byStatus) filters.push(`s.${statusName}::text = ANY (${statuses})`);

  const size = options.limit + 1;
  const scanned = filters.length === 0 ? size : byStatus ? Math.ceil(MAX_SCANNED_ROWS / 2 / status.length) : MAX_SCANNED_ROWS;
  const where = range.length > 0 ? `WHERE ${range.join(' AND ')}` : '';
  const plain = (columns: string): string => `SELECT ${columns} FROM ${sql} s ${where} ORDER BY ${order} LIMIT ${scanned}`;
  // The index of an enum has no text.
  const hasStatus =
    statusColumn.category === 'E'
      ? `s.${statusName} = wanted.status::${statusColumn.typeOfAnyLength}`
      : `s.${statusName}::text = wanted.status`;
  const emailsByStatus = `SELECT s.${key} FROM unnest(${statuses}) AS wanted(status) CROSS JOIN LATERAL (
      SELECT s.${key} FROM ${sql} s WHERE ${[hasStatus, ...range].join(' AND ')} ORDER BY ${order} LIMIT ${scanned}
    ) s ORDER BY ${order} LIMIT ${scanned}`;
  const candidates = byStatus
    ? `SELECT s.* FROM (${emailsByStatus}) found JOIN ${sql} s ON s.${key} ${keyOperator(table, '=')} found.${key} ORDER BY ${order}`
    : plain('s.*');
  const page = `SELECT * FROM (${candidates}) s ${filters.length > 0 ? `WHERE ${filters.join(' AND ')}` : ''} ORDER BY ${order} LIMIT ${size}`;
  const listed = `SELECT s.${key}::text AS email, ${rowJson(table, fields, 's')} AS body FROM page s`;
  // Evaluated only when the page is not full. The index contains everything that the cursor needs, so no row is read.
  const keys = byStatus ? emailsByStatus : plain(`s.${key}`);
  const end = `SELECT s.${key}::text, NULL FROM (${keys}) s WHERE (SELECT count(*) FROM page) < ${size} OFFSET ${scanned - 1} LIMIT 1`;
  return { text: `WITH page AS (${page}) ${filters.length > 0 ? `${listed} UNION ALL (${end})` : listed}`, values };
}

/** Encodes the sort order and the last email of a page as an opaque text. */
export function encodeCursor(sort: Sort, email: string): string {
  return Buffer.from(JSON.stringify([sort, email])).toString('base64url');
}

/** @returns the last email of the previous page. @throws ProblemException 400 when the text is not a cursor of a list in this order. */
export function decodeCursor(sort: Sort, cursor: string): string {
  const email = emailIn(cursor);
  if (email === undefined || encodeCursor(sort, email) !== cursor) {
    throw wrongFields(
      [{ field: 'cursor', detail: 'must be the next_cursor of a page of this list in the same sort order' }],
      'Unknown cursor',
    );
  }
  return email;
}

function emailIn(cursor: string): string | undefined {
  try {
    const [, email] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown[];
    return typeof email === 'string' && isPgText(email) ? email : undefined;
  } catch {
    return undefined;
  }
}
