import type { DataSource } from 'typeorm';
import type { RowText } from './row-text.js';

/** A row that is not the same in both databases. */
export interface Difference {
  readonly email: string;
  /** Changes with each change of the row in DB1. */
  readonly state: string;
  readonly inDb1: boolean;
  /** The version that DB2 has, tombstones included; 0 when it knows nothing of the email. */
  readonly versionInDb2: number;
}

interface Row1 {
  readonly email: string;
  readonly state: string;
  readonly hash: string | null;
}

interface Row2 {
  readonly email: string;
  readonly version: number;
  readonly hash: string | null;
}

/** The last change that the log has of the email counts too: a row may be created and deleted between two looks. */
const rows1 = (text: string): string => `
SELECT e.email, concat_ws('/', s.version, (SELECT max(c.version) FROM subscription_changes c WHERE c.email = e.email)) AS state,
       CASE WHEN s.email IS NOT NULL THEN md5(${text}) END AS hash
FROM unnest($1::text[]) e(email) LEFT JOIN subscriptions s ON s.email = e.email`;

const rows2 = (text: string): string => `
SELECT s.email, s.version, CASE WHEN s.tombstoned_at IS NULL THEN md5(${text}) END AS hash
FROM replicated_subscriptions s WHERE s.email = ANY ($1)`;

/**
 * Those of the emails whose rows differ while DB1 does not change them: DB1 is read before and after DB2, and what it changed in
 * between counts as on its way, with a state of its own.
 */
export async function lookAtRows(
  db1: DataSource,
  db2: DataSource,
  text: RowText,
  emails: readonly string[],
): Promise<Map<string, Difference>> {
  const before = await db1.query<Row1[]>(rows1(text.db1), [emails]);
  const replica = new Map((await db2.query<Row2[]>(rows2(text.db2), [emails])).map((row) => [row.email, row]));
  const after = new Map((await db1.query<Row1[]>(rows1(text.db1), [emails])).map((row) => [row.email, row.state]));
  const found = new Map<string, Difference>();
  for (const { email, state, hash } of before) {
    const other = replica.get(email);
    if (hash === (other?.hash ?? null)) continue;
    const settled = after.get(email) === state;
    found.set(email, { email, state: settled ? state : `${state} moving`, inDb1: hash !== null, versionInDb2: other?.version ?? 0 });
  }
  return found;
}
