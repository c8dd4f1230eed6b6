import type { DataSource } from 'typeorm';
import { causeOf, type Difference } from './recheck-rows.js';

/**
 * - `confirmed`: the stream has passed the difference, and it is not repaired.
 * - `repaired`: it was repaired, and the rows were seen equal after that.
 */
export const STATES = ['confirmed', 'repaired'] as const;
export type DifferenceState = (typeof STATES)[number];

const CHUNK = 5_000;

/** The differences that a run found, as stored in DB1.subscription_sync.reconciliation_differences: one for each email and run. */
export class Differences {
  constructor(
    private readonly db1: DataSource,
    private readonly run: number,
  ) {}

  /** Stores confirmed differences. @returns the emails that this run had not found before. */
  async confirm(differences: readonly Difference[]): Promise<Set<string>> {
    if (differences.length === 0) return new Set();
    const rows = differences.map((difference) => ({
      email: difference.email,
      cause: causeOf(difference),
      version_in_db1: difference.versionInDb1 || null,
      version_in_db2: difference.versionInDb2 || null,
    }));
    const stored = await this.db1.query<{ email: string; is_new: boolean }[]>(
      `INSERT INTO subscription_sync.reconciliation_differences (run, email, cause, version_in_db1, version_in_db2)
       SELECT $1, r.email, r.cause, r.version_in_db1, r.version_in_db2
       FROM json_to_recordset($2) AS r(email text, cause text, version_in_db1 bigint, version_in_db2 bigint)
       ON CONFLICT (run, email) DO UPDATE SET state = 'confirmed', changed_at = clock_timestamp()
       RETURNING email, xmax = 0 AS is_new`,
      [this.run, JSON.stringify(rows)],
    );
    return new Set(stored.filter(({ is_new: isNew }) => isNew).map(({ email }) => email));
  }

  /** Yields the emails that are confirmed and not repaired, in chunks. */
  async *unrepaired(): AsyncGenerator<string[]> {
    for (let after = ''; ;) {
      const rows = await this.db1.query<{ email: string }[]>(
        `SELECT email FROM subscription_sync.reconciliation_differences WHERE run = $1 AND state = 'confirmed' AND cause <> 'collision' AND email > $2 ORDER BY email LIMIT ${CHUNK}`,
        [this.run, after],
      );
      if (rows.length > 0) yield rows.map(({ email }) => email);
      if (rows.length < CHUNK) return;
      after = rows.at(-1)!.email;
    }
  }

  async count(): Promise<{ readonly differing: number; readonly repaired: number }> {
    const [counts] = await this.db1.query<[{ differing: number; repaired: number }]>(
      `SELECT count(*)::int AS differing, count(*) FILTER (WHERE state = 'repaired')::int AS repaired
       FROM subscription_sync.reconciliation_differences WHERE run = $1`,
      [this.run],
    );
    return counts;
  }

  /** Marks rows that were seen equal as repaired. @returns the cause of each that this run had confirmed. */
  async repaired(emails: readonly string[]): Promise<string[]> {
    if (emails.length === 0) return [];
    const [rows] = await this.db1.query<[{ cause: string }[]]>(
      `UPDATE subscription_sync.reconciliation_differences SET state = 'repaired', changed_at = clock_timestamp()
       WHERE run = $1 AND email = ANY ($2) AND state = 'confirmed' RETURNING cause`,
      [this.run, emails],
    );
    return rows.map(({ cause }) => cause);
  }
}
