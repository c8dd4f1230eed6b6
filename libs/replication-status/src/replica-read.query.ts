import { Inject, Injectable, NotFoundException, Optional, ServiceUnavailableException } from '@nestjs/common';
import { ROW_COLUMN_NAMES } from '#events';
import { ProblemException } from '#http';
import { type Database, DB2 } from '#postgres';
import { ReplicaWaiter } from './replica-waiter.js';

/** A row of DB2. */
export interface ReplicaRow {
  readonly version: number;
  /** JSON text, as of GET /subscriptions/{email}. Null for a deleted one. */
  readonly body: string | null;
}

/** The email as DB1's trigger writes it (subscription_email): DB2 is asked without DB1. */
export function normalised(email: string): string {
  return email.trim().toLowerCase().normalize('NFC');
}

const READ = `
SELECT version, CASE WHEN tombstoned_at IS NULL THEN (
    SELECT row_to_json(r)::text
    FROM (SELECT ${ROW_COLUMN_NAMES.map((name) => `s.${name}`).join(', ')}) r
  ) END AS body
FROM replicated_subscriptions s WHERE email = $1`;

/** Reads DB2, on request not before it has a version. */
@Injectable()
export class ReplicaReadQuery {
  constructor(
    private readonly arrivals: ReplicaWaiter,
    @Optional() @Inject(DB2) private readonly db2?: Database,
  ) {}

  /**
   * The subscription as DB2 has it, at `minVersion` or later, waiting for it up to `waitMs`. Fails with 404 when DB2 has none (or has it as
   * deleted, at that version or later), 409 when what DB2 has is older, 503 where DB2 is not known.
   */
  async read(email: string, minVersion: number, waitMs: number, signal: AbortSignal): Promise<ReplicaRow & { readonly body: string }> {
    const key = normalised(email);
    let row = await this.find(key);
    if ((row?.version ?? 0) < minVersion && (await this.arrivals.wait(key, minVersion, waitMs, signal))) row = await this.find(key);
    const version = row?.version ?? 0;
    if (version < minVersion) {
      const has = version === 0 ? 'nothing of this subscription yet' : `version ${version} of this subscription`;
      throw new ProblemException('not-replicated-yet', `Database 2 has ${has}, not version ${minVersion}`, {
        min_version: minVersion,
        version_in_db2: version === 0 ? null : version,
        errors: [{ field: 'min_version', detail: `is ${minVersion}; Database 2 has ${version}` }],
      });
    }
    if (!row || row.body === null) throw new NotFoundException('Database 2 has no subscription with this email');
    return { version, body: row.body };
  }

  private async find(email: string): Promise<ReplicaRow | undefined> {
    if (!this.db2) throw new ServiceUnavailableException('This process does not know Database 2: DB2_HOST is not set');
    const [row] = await this.db2.query<ReplicaRow>(READ, [email]);
    return row;
  }
}
