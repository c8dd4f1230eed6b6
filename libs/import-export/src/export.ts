import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { stringify } from 'csv-stringify/sync';
import { escapeIdentifier } from 'pg';
import { AuditLog, type Initiator } from '#audit';
import { SETTINGS, type Settings } from '#config';
import {
  columnOf,
  type Database,
  DB1,
  keyInOrder,
  keyOperator,
  oncePerTable,
  rowJson,
  type SubscriptionTable,
  type TableColumn,
} from '#postgres';
import { shownFields } from '#subscriptions';
import { escapeFormula } from './csv.js';
import type { StreamPieces } from './import-jobs.js';

export type ExportFormat = 'ndjson' | 'csv';

/**
 * All subscriptions in the order of their emails, a page at a time. Each page is a statement of its own, so that nothing is held open in the
 * database while a client is slow. A row that changes during the export is exported as it was at one moment or another. The stream throws
 * the reason of its signal when it is aborted: an answer that is not complete must not look complete. Its beginning and its end are recorded
 * in the audit log.
 */
export class ExportSubscriptionsQuery extends Query<StreamPieces> {
  constructor(
    readonly format: ExportFormat,
    readonly by: Initiator,
  ) {
    super();
  }
}

/** Rows of a page. A page is held in memory once, however large the metadata that other programs' SQL wrote. */
const PAGE_ROWS = 1_000;

/** What has been sent of an export. */
interface Sent {
  /** Number of rows that the client may have received. */
  rows: number;
}

interface Row {
  readonly email: string;
  readonly line: string;
}

/** The statements that read a page after an email, as it is in the table. The order is that of the index of the emails. */
interface Pages extends Readonly<Record<ExportFormat, string>> {
  readonly columns: readonly string[];
}

function pagesOf(table: SubscriptionTable, columns: readonly string[]): Pages {
  const { sql, key, keyColumn } = table;
  const order = keyInOrder(table, 's');
  const select = (line: string): string =>
    `SELECT s.${key}::text AS email, ${line} AS line FROM ${sql} s WHERE ${order} ${keyOperator(table, '>')} $1::${keyColumn.typeOfAnyLength} ORDER BY ${order} LIMIT ${PAGE_ROWS}`;
  return {
    columns,
    ndjson: select(rowJson(table, columns, 's')),
    csv: select(`json_build_array(${columns.map((field) => cellOf(columnOf(table, field)!)).join(', ')})::text`),
  };
}

/** Returns a value as the API prints it, as SQL: times in RFC 3339. */
function cellOf({ name, category }: TableColumn): string {
  const value = `s.${escapeIdentifier(name)}`;
  return category === 'D' ? `to_json(${value}) #>> '{}'` : `${value}::text`;
}

@QueryHandler(ExportSubscriptionsQuery)
export class ExportSubscriptionsHandler implements IQueryHandler<ExportSubscriptionsQuery> {
  private readonly statements = oncePerTable((table) => pagesOf(table, shownFields(table, this.settings)));

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(SETTINGS) private readonly settings: Settings,
    private readonly audit: AuditLog,
  ) {}

  async execute(query: ExportSubscriptionsQuery): Promise<StreamPieces> {
    const statements = this.statements(this.db1.table);
    return (signal) => this.recorded(query, statements, signal);
  }

  /** No row is read before the export is recorded. */
  private async *recorded(
    { format, by }: ExportSubscriptionsQuery,
    statements: Pages,
    signal: AbortSignal,
  ): AsyncGenerator<string, void, void> {
    await this.audit.record({ ...by, action: 'export.begin', details: { format } });
    const sent = { rows: 0, complete: false };
    try {
      yield* this[format](statements, signal, sent);
      sent.complete = true;
    } finally {
      await this.audit.recordEnd({ ...by, action: 'export.end', details: { format, ...sent } });
    }
  }

  private async *ndjson({ ndjson }: Pages, signal: AbortSignal, sent: Sent): AsyncGenerator<string, void, void> {
    for await (const rows of this.pages(ndjson, signal, sent)) yield rows.map(({ line }) => `${line}\n`).join('');
  }

  /** RFC 4180. Cells that a spreadsheet would run as formulas are escaped. */
  private async *csv({ csv, columns }: Pages, signal: AbortSignal, sent: Sent): AsyncGenerator<string, void, void> {
    const options = { record_delimiter: 'windows', quoted_match: /[\r\n]/, cast: { string: escapeFormula } } as const;
    yield stringify([[...columns]], options);
    for await (const rows of this.pages(csv, signal, sent)) {
      const cells = rows.map(({ line }) => JSON.parse(line) as string[]);
      yield stringify(cells, options);
    }
  }

  private async *pages(sql: string, signal: AbortSignal, sent: Sent): AsyncGenerator<Row[], void, void> {
    for (let after = '', full = true; full;) {
      signal.throwIfAborted();
      const rows = await this.db1.query<Row>(sql, [after]);
      full = rows.length === PAGE_ROWS;
      after = rows.at(-1)?.email ?? '';
      sent.rows += rows.length;
      if (rows.length > 0) yield rows;
    }
  }
}
