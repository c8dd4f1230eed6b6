import { Inject, NotFoundException, Optional, ServiceUnavailableException } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { SETTINGS, type Settings } from '#config';
import { ROW_COLUMN_NAMES } from '#events';
import { ProblemException } from '#http';
import { type Database, DB2, fieldsOf, hasKey, oncePerTable, rowJson, type SubscriptionTable } from '#postgres';
import { normaliseEmail, ReplicaWaiting } from '#subscriptions';

/** A row of DB2. */
export interface ReplicaRow {
  readonly version: number;
  /** JSON text, as in the response of GET /subscriptions/{email}. Null when there is no row. */
  readonly body: string | null;
}

/** Builds the statement that selects the version and the row of an email. The table may have the email in another spelling. */
function readStatement(table: SubscriptionTable, mapped: readonly string[] | undefined): string {
  const { sql, key, keyColumn } = table;
  return `
SELECT coalesce(a.version, 0) AS version, CASE WHEN s.${key} IS NOT NULL THEN ${rowJson(table, fieldsOf(table, ROW_COLUMN_NAMES, mapped), 's')} END AS body
FROM (VALUES (true)) one
LEFT JOIN subscription_sync.applied a ON a.email = $1
LEFT JOIN ${sql} s ON ${hasKey(table, 's', `coalesce(a.written, $1)::${keyColumn.typeOfAnyLength}`)}`;
}

/**
 * The subscription in DB2 at `minVersion` or a later version, which is waited for up to `waitMs`. Fails with 404 when DB2 does not have the
 * subscription or has its deletion, with 409 when DB2 has an older version, with 503 in a process without DB2.
 */
export class ReadReplicaQuery extends Query<ReplicaRow & { readonly body: string }> {
  constructor(
    readonly email: string,
    readonly minVersion: number,
    readonly waitMs: number,
    /** Ends the wait when the client disconnects. */
    readonly signal: AbortSignal,
  ) {
    super();
  }
}

@QueryHandler(ReadReplicaQuery)
export class ReadReplicaHandler implements IQueryHandler<ReadReplicaQuery> {
  private readonly statement = oncePerTable((table) =>
    readStatement(
      table,
      this.settings.mapping.columns?.map(({ db2 }) => db2),
    ),
  );

  constructor(
    private readonly replica: ReplicaWaiting,
    @Inject(SETTINGS) private readonly settings: Settings,
    @Optional() @Inject(DB2) private readonly db2?: Database,
  ) {}

  async execute({ email, minVersion, waitMs, signal }: ReadReplicaQuery): Promise<ReplicaRow & { readonly body: string }> {
    const key = normaliseEmail(email);
    let row = await this.find(key);
    if (row.version < minVersion && (await this.replica.wait(key, minVersion, waitMs, signal))) row = await this.find(key);
    const { version, body } = row;
    if (version < minVersion) {
      const detail =
        version === 0
          ? `Database 2 does not have this subscription yet; version ${minVersion} was requested`
          : `Database 2 has version ${version} of this subscription, not version ${minVersion}`;
      throw new ProblemException('not-replicated-yet', detail, {
        min_version: minVersion,
        version_in_db2: version === 0 ? null : version,
        errors: [{ field: 'min_version', detail: `is ${minVersion}; Database 2 has ${version}` }],
      });
    }
    if (body === null) throw new NotFoundException('Database 2 has no subscription with this email');
    return { version, body };
  }

  private async find(email: string): Promise<ReplicaRow> {
    if (!this.db2) throw new ServiceUnavailableException('This process is not connected to Database 2: DB2_HOST is not set');
    const [row] = await this.db2.query<ReplicaRow>(this.statement(this.db2.table), [email]);
    return row!;
  }
}
