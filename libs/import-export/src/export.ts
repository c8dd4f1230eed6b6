import { Inject, Injectable } from '@nestjs/common';
import { stringify } from 'csv-stringify/sync';
import { BUSINESS_COLUMN_LIST, ROW_COLUMN_NAMES } from '#events';
import { type Database, DB1 } from '#postgres';
import { escapeFormula } from './csv.js';

/** Rows of a statement; and bytes of a row's metadata that raw SQL may have written do not count: a page is held once. */
const PAGE_ROWS = 1_000;

interface Row {
  readonly email: string;
  readonly line: string;
}

const NDJSON = `
SELECT email, subscription_json(s) AS line FROM subscriptions s WHERE email > $1 ORDER BY email LIMIT ${PAGE_ROWS}`;

/** Columns that the API prints in RFC 3339. */
const INSTANTS = new Set([
  ...BUSINESS_COLUMN_LIST.filter(([, { kind }]) => kind === 'instant').map(([name]): string => name),
  'created_at',
  'updated_at',
]);

/** Every value as the API prints it. */
const CSV = `
SELECT email, json_build_array(${ROW_COLUMN_NAMES.map((name) => (INSTANTS.has(name) ? `to_json(${name}) #>> '{}'` : `${name}::text`)).join(', ')})::text AS line
FROM subscriptions WHERE email > $1 ORDER BY email LIMIT ${PAGE_ROWS}`;

/**
 * All subscriptions in the order of their emails, a page at a time, each a statement of its own: nothing is held open in the database
 * while a client is slow. What changes meanwhile is there as it was at one moment or another.
 */
@Injectable()
export class ExportPages {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  /** @throws what `signal` was aborted with: an answer that is not whole must not look whole. */
  async *ndjson(signal: AbortSignal): AsyncGenerator<string, void, void> {
    for await (const rows of this.pages(NDJSON, signal)) yield rows.map(({ line }) => `${line}\n`).join('');
  }

  /** RFC 4180, with cells that a spreadsheet would run as formulas defused. */
  async *csv(signal: AbortSignal): AsyncGenerator<string, void, void> {
    const options = { record_delimiter: 'windows', quoted_match: /[\r\n]/, cast: { string: escapeFormula } } as const;
    yield stringify([[...ROW_COLUMN_NAMES]], options);
    for await (const rows of this.pages(CSV, signal))
      yield stringify(
        rows.map(({ line }) => JSON.parse(line) as string[]),
        options,
      );
  }

  private async *pages(sql: string, signal: AbortSignal): AsyncGenerator<Row[], void, void> {
    for (let after = '', full = true; full;) {
      signal.throwIfAborted();
      const rows = await this.db1.query<Row>(sql, [after]);
      full = rows.length === PAGE_ROWS;
      after = rows.at(-1)?.email ?? '';
      if (rows.length > 0) yield rows;
    }
  }
}
