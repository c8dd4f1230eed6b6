import { ROW_COLUMN_NAMES } from '#events';
import { isPgText, wrongFields } from '#http';
import type { Sort } from './subscription.dto.js';

export interface ListOptions {
  readonly sort: Sort;
  /** Position at which the previous page ended. */
  readonly after?: Position | undefined;
  readonly limit: number;
  readonly status?: readonly string[] | undefined;
  readonly plan?: string | undefined;
  readonly email_prefix?: string | undefined;
  readonly updated_since?: string | undefined;
  readonly version_after?: string | undefined;
}

interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

/** A row of the page; or, without a body, the position at which scanning ended before the page was full. */
export interface ListedRow extends Position {
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

const EMAIL = 's.email COLLATE "C"';
const ROW = ROW_COLUMN_NAMES.map((name) => `s.${name}`).join(', ');
const LAST_CHARACTER = '\u{10ffff}';

/**
 * Builds the statement for one page and one extra row, which shows that there is another page. The statement sees one snapshot, so that no row is
 * skipped between the page and the position at which scanning ended.
 */
export function listStatement(options: ListOptions): Statement {
  const values: unknown[] = [];
  const bind = (value: unknown, type: string): string => `$${values.push(value)}::${type}`;
  const key = options.sort.replace('-', '') as 'email' | 'version' | 'updated_at';
  const [direction, beyond] = options.sort.startsWith('-') ? ['DESC', '<'] : ['ASC', '>'];
  const order = [...(key === 'email' ? [] : [`s.${key} ${direction}`]), `${EMAIL} ${direction}`].join(', ');

  // `range` holds conditions that the index of the sort order can evaluate; `filters` are evaluated for each scanned row.
  const range: string[] = [];
  const filters: string[] = [];
  if (options.after) {
    const { email } = options.after;
    if (key === 'email') range.push(`${EMAIL} ${beyond} ${bind(email, 'text')}`);
    else
      range.push(
        `(s.${key}, ${EMAIL}) ${beyond} (${bind(options.after[key], key === 'version' ? 'bigint' : 'timestamptz')}, ${bind(email, 'text')})`,
      );
  }
  if (options.email_prefix !== undefined) {
    const [from, to] = [options.email_prefix, options.email_prefix + LAST_CHARACTER].map(
      (text) => `subscription_sync.normalize_email(${bind(text, 'text')})`,
    );
    (key === 'email' ? range : filters).push(`${EMAIL} >= ${from!} AND ${EMAIL} < ${to!}`);
  }
  if (options.version_after !== undefined) {
    (key === 'version' ? range : filters).push(`s.version > ${bind(options.version_after, 'bigint')}`);
  }
  if (options.updated_since !== undefined) {
    (key === 'updated_at' ? range : filters).push(`s.updated_at >= ${bind(options.updated_since, 'timestamptz')}`);
  }
  if (options.plan !== undefined) filters.push(`s.plan = ${bind(options.plan, 'text')}`);
  // The index is searched once for each status, so a repeated status would return its rows twice.
  const status = options.status && [...new Set(options.status)];
  const statuses = status === undefined ? '' : bind(status, 'text[]');
  const byStatus = status !== undefined && status.length <= MAX_INDEXED_STATUSES && key === 'email';
  if (status !== undefined && !byStatus) filters.push(`s.status::text = ANY (${statuses})`);

  const size = options.limit + 1;
  const scanned = filters.length === 0 ? size : byStatus ? Math.ceil(MAX_SCANNED_ROWS / 2 / status.length) : MAX_SCANNED_ROWS;
  const where = range.length > 0 ? `WHERE ${range.join(' AND ')}` : '';
  const plain = (columns: string): string => `SELECT ${columns} FROM subscriptions s ${where} ORDER BY ${order} LIMIT ${scanned}`;
  const emailsByStatus = `SELECT s.email FROM unnest(${statuses}) AS wanted(status) CROSS JOIN LATERAL (
      SELECT s.email FROM subscriptions s WHERE ${['s.status::text = wanted.status', ...range].join(' AND ')} ORDER BY ${order} LIMIT ${scanned}
    ) s ORDER BY ${order} LIMIT ${scanned}`;
  const candidates = byStatus
    ? `SELECT ${ROW} FROM (${emailsByStatus}) found JOIN subscriptions s ON s.email = found.email ORDER BY ${order}`
    : plain(ROW);
  const page = `SELECT * FROM (${candidates}) s ${filters.length > 0 ? `WHERE ${filters.join(' AND ')}` : ''} ORDER BY ${order} LIMIT ${size}`;
  const listed = `SELECT s.email, s.version, s.updated_at::text, row_to_json(s)::text AS body FROM page s`;
  // Evaluated only when the page is not full. The index contains everything that the cursor needs, so no row is read.
  const position = `s.email, ${key === 'version' ? 's.version' : 'NULL::bigint'}, ${key === 'updated_at' ? 's.updated_at::text' : 'NULL'}, NULL`;
  const keys = byStatus ? emailsByStatus : plain(key === 'email' ? 's.email' : `s.${key}, s.email`);
  const end = `SELECT ${position} FROM (${keys}) s WHERE (SELECT count(*) FROM page) < ${size} OFFSET ${scanned - 1} LIMIT 1`;
  return { text: `WITH page AS (${page}) ${filters.length > 0 ? `${listed} UNION ALL (${end})` : listed}`, values };
}

/** The last row of a page. The row may have been deleted since; the rows after it are still the same. */
interface Position {
  readonly email: string;
  readonly version: number;
  /** As printed by PostgreSQL in UTC. */
  readonly updated_at: string;
}

const TIME = /^[\d]{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?\+00$/;

/** Encodes the sort order, the value of its column and the email, which distinguishes rows with equal values, as an opaque text. */
export function encodeCursor(sort: Sort, { email, version, updated_at }: Position): string {
  const key = sort.endsWith('version') ? version : sort.endsWith('updated_at') ? updated_at : null;
  return Buffer.from(JSON.stringify([sort, key, email])).toString('base64url');
}

/** @throws ProblemException 400 when the text is not a cursor of a list in this order. */
export function decodeCursor(sort: Sort, cursor: string): Position {
  const position = parse(cursor);
  if (!position || encodeCursor(sort, position) !== cursor) {
    throw wrongFields(
      [{ field: 'cursor', detail: 'must be the next_cursor of a page of this list in the same sort order' }],
      'Unknown cursor',
    );
  }
  return position;
}

function parse(cursor: string): Position | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts)) return undefined;
  const [, key, email] = parts as unknown[];
  if (typeof email !== 'string' || !isPgText(email)) return undefined;
  if (key === null) return { email, version: 0, updated_at: '' };
  if (Number.isSafeInteger(key)) return { email, version: key as number, updated_at: '' };
  return typeof key === 'string' && TIME.test(key) ? { email, version: 0, updated_at: key } : undefined;
}
