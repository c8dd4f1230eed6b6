import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { stringify } from 'csv-stringify/sync';
import { BUSINESS_COLUMN_LIST, ROW_COLUMN_NAMES } from '#events';
import { type Database, DB1 } from '#postgres';
import { escapeFormula } from './csv.js';
import type { StreamPieces } from './import-jobs.js';

export type ExportFormat = 'ndjson' | 'csv';

/**
 * All subscriptions in the order of their emails, a page at a time. Each page is a statement of its own, so that nothing is held open in the
 * database while a client is slow. A row that changes during the export is exported as it was at one moment or another. The stream throws
 * the reason of its signal when it is aborted: an answer that is not complete must not look complete.
 */
export class ExportSubscriptionsQuery extends Query<StreamPieces> {
  constructor(readonly format: ExportFormat) {
    super();
  }
}

/** Rows of a page. A page is held in memory once, however large the metadata that other programs' SQL wrote. */
const PAGE_ROWS = 1_000;

interface Row {
  readonly email: string;
  readonly line: string;
}

const NDJSON = `
SELECT email, subscription_sync.row_json(s) AS line FROM subscriptions s WHERE email > $1 ORDER BY email LIMIT ${PAGE_ROWS}`;

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

@QueryHandler(ExportSubscriptionsQuery)
export class ExportSubscriptionsHandler implements IQueryHandler<ExportSubscriptionsQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ format }: ExportSubscriptionsQuery): Promise<StreamPieces> {
    return (signal) => this[format](signal);
  }

  private async *ndjson(signal: AbortSignal): AsyncGenerator<string, void, void> {
    for await (const rows of this.pages(NDJSON, signal)) yield rows.map(({ line }) => `${line}\n`).join('');
  }

  /** RFC 4180. Cells that a spreadsheet would run as formulas are escaped. */
  private async *csv(signal: AbortSignal): AsyncGenerator<string, void, void> {
    const options = { record_delimiter: 'windows', quoted_match: /[\r\n]/, cast: { string: escapeFormula } } as const;
    yield stringify([[...ROW_COLUMN_NAMES]], options);
    for await (const rows of this.pages(CSV, signal)) {
      const cells = rows.map(({ line }) => JSON.parse(line) as string[]);
      yield stringify(cells, options);
    }
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
