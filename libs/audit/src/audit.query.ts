import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { limitOf, pageById } from '#http';
import { type Database, DB1 } from '#postgres';
import type { AuditEntry, AuditPage, ListAudit } from './audit.dto.js';

/** The cursor before the first page: ids are below it. */
const NO_CURSOR = String(Number.MAX_SAFE_INTEGER);

/** Lists acts, newest first. */
export class ListAuditQuery extends Query<AuditPage> {
  constructor(readonly options: ListAudit) {
    super();
  }
}

@QueryHandler(ListAuditQuery)
export class ListAuditHandler implements IQueryHandler<ListAuditQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ options }: ListAuditQuery): Promise<AuditPage> {
    const { actor, action, since, until, cursor = NO_CURSOR } = options;
    const size = limitOf(options);
    const rows = await this.db1.query<AuditEntry>(
      `SELECT id, to_json(recorded_at) #>> '{}' AS recorded_at, actor, address, request_id, action, target, details, database_user
       FROM subscription_sync.audit
       WHERE id < $1 AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR action = $3)
         AND ($4::timestamptz IS NULL OR recorded_at >= $4) AND ($5::timestamptz IS NULL OR recorded_at < $5)
       ORDER BY id DESC LIMIT $6`,
      [cursor, actor ?? null, action ?? null, dateOf(since), dateOf(until), size + 1],
    );
    return pageById(rows, size);
  }
}

function dateOf(time: string | undefined): string | null {
  return time === undefined ? null : new Date(time).toISOString();
}
