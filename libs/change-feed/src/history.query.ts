import { Inject, Injectable, NotFoundException } from '@nestjs/common';
import { limitOf, wrongFields } from '#http';
import { type Database, DB1 } from '#postgres';

/** Bytes of a page's events, except for its first one. */
const PAGE_BYTES = 1024 * 1024;

/**
 * What the log has of an email, newest first. `changes` of what was created or deleted is empty: `subscription` says it all. Values are
 * as the event has them, digit for digit.
 */
const LIST = `
WITH rows AS MATERIALIZED (
  SELECT * FROM subscription_changes WHERE email = subscription_email($1) AND version < $2 ORDER BY version DESC LIMIT $3
), sized AS (
  SELECT *, row_number() OVER w AS n, sum(octet_length(event)) OVER w AS bytes FROM rows WINDOW w AS (ORDER BY version DESC)
)
SELECT version, (SELECT count(*)::int FROM rows) AS found, json_build_object(
    'version', version, 'operation', operation, 'occurred_at', occurred_at, 'actor', actor, 'reason', reason, 'origin', origin,
    'application_name', application_name, 'traceparent', traceparent,
    'changes', (
      SELECT coalesce(json_object_agg(p.key, json_build_object('from', p.value, 'to', data -> 'subscription' -> p.key)), '{}')
      FROM json_each(data -> 'previous') p),
    'subscription', data -> 'subscription'
  )::text AS body
FROM sized, LATERAL (SELECT event::json -> 'data' AS data) e
WHERE n = 1 OR bytes <= ${PAGE_BYTES}
ORDER BY version DESC`;

/** Who changed a subscription, when, why and how. */
@Injectable()
export class History {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  /** A page: JSON text of a HistoryPage. A deleted subscription still has its history. Fails with 404 when there was never one. */
  async list(email: string, options: { readonly limit?: string; readonly cursor?: string }): Promise<string> {
    const limit = limitOf(options);
    const rows = await this.db1.query<{ version: number; found: number; body: string }>(LIST, [
      email,
      decodeCursor(options.cursor),
      limit + 1,
    ]);
    if (rows.length === 0 && options.cursor === undefined) await this.expectKnown(email);
    const page = rows.slice(0, limit);
    const next = rows.length > 0 && page.length < rows[0]!.found ? encodeCursor(page.at(-1)!.version) : null;
    return `{"data":[${page.map(({ body }) => body).join(',')}],"next_cursor":${JSON.stringify(next)}}`;
  }

  /** Its changes may have been pruned. */
  private async expectKnown(email: string): Promise<void> {
    const rows = await this.db1.query('SELECT 1 FROM subscriptions WHERE email = subscription_email($1)', [email]);
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
