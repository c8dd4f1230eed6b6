import { Inject, NotFoundException } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { compactJson, rawMembers } from '#events';
import { BYTES, SELECT_HISTORY } from '#change-log';
import { limitOf, wrongFields } from '#http';
import { type Database, DB1, hasKey } from '#postgres';

/** Maximum number of bytes of a page's events, except for its first event. */
const PAGE_BYTES = 1024 * 1024;

/** The changes of an email in the log, newest first. Images are not read as JSON: PostgreSQL refuses \\u0000, which a json column may have. */
const LIST = `
WITH rows AS MATERIALIZED (
  ${SELECT_HISTORY}
), sized AS (
  SELECT *, row_number() OVER w AS n, sum(${BYTES}) OVER w AS bytes FROM rows WINDOW w AS (ORDER BY version DESC)
)
SELECT version, (SELECT count(*)::int FROM rows) AS found, image, previous, json_build_object(
    'version', version, 'operation', operation, 'occurred_at', occurred_at, 'actor', actor, 'reason', reason, 'origin', origin,
    'database_user', database_user, 'application_name', application_name, 'traceparent', traceparent
  )::text AS facts
FROM sized
WHERE n = 1 OR bytes <= ${PAGE_BYTES}
ORDER BY version DESC`;

interface ChangeRow {
  readonly version: number;
  /** Number of changes that were found. */
  readonly found: number;
  readonly image: string;
  readonly previous: string | null;
  readonly facts: string;
}

/**
 * Returns the JSON text of a HistoryEntry, whose values have the digits that the event has. `changes` is empty for creations and deletions:
 * `subscription` has everything.
 */
function entryText({ facts, image, previous }: ChangeRow): string {
  const now = rawMembers(image);
  const changes = [...rawMembers(previous ?? '{}')].map(
    ([name, before]) => `${JSON.stringify(name)}:{"from":${before},"to":${now.get(name) ?? 'null'}}`,
  );
  return compactJson(`${facts.slice(0, -1)},"changes":{${changes.join(',')}},"subscription":${image}}`);
}

/**
 * A page of a subscription's changes: JSON text of a HistoryPage. A deleted subscription still has its history. Fails with 404 for an email
 * that never had a subscription.
 */
export class ListHistoryQuery extends Query<string> {
  constructor(
    readonly email: string,
    readonly options: { readonly limit?: string; readonly cursor?: string },
  ) {
    super();
  }
}

@QueryHandler(ListHistoryQuery)
export class ListHistoryHandler implements IQueryHandler<ListHistoryQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ email, options }: ListHistoryQuery): Promise<string> {
    const limit = limitOf(options);
    const before = decodeCursor(options.cursor);
    const rows = await this.db1.query<ChangeRow>(LIST, [email, before, limit + 1]);
    if (rows.length === 0 && options.cursor === undefined) await this.requireSubscription(email);
    const page = rows.slice(0, limit);
    const next = rows.length > 0 && page.length < rows[0]!.found ? encodeCursor(page.at(-1)!.version) : null;
    return `{"data":[${page.map(entryText).join(',')}],"next_cursor":${JSON.stringify(next)}}`;
  }

  /** A subscription without changes in the log exists, too: they may have been pruned. */
  private async requireSubscription(email: string): Promise<void> {
    const { table } = this.db1;
    const find = `SELECT 1 FROM ${table.sql} s WHERE ${hasKey(table, 's', 'subscription_sync.existing_key(subscription_sync.normalize_email($1))')}`;
    const rows = await this.db1.query(find, [email]);
    if (rows.length === 0) throw new NotFoundException('No subscription with this email, now or in the change log');
  }
}

function encodeCursor(version: number): string {
  return Buffer.from(`v${version}`).toString('base64url');
}

function decodeCursor(cursor: string | undefined): number {
  if (cursor === undefined) return Number.MAX_SAFE_INTEGER;
  const match = /^v(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (!match) {
    throw wrongFields([{ field: 'cursor', detail: 'must be a next_cursor of this history' }], 'Unknown cursor');
  }
  return Number(match[1]);
}
