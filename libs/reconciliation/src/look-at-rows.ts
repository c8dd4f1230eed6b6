import type { DataSource } from 'typeorm';
import type { DifferenceFacts } from './cause.js';
import type { RowText } from './row-text.js';

/** A row that is not the same in both databases. */
export interface Difference extends DifferenceFacts {
  readonly email: string;
  /** Changes with each change of the row in DB1. */
  readonly state: string;
}

interface Row1 {
  readonly email: string;
  readonly version: number | null;
  readonly state: string;
  readonly hash: string | null;
  readonly as_logged: boolean | null;
}

interface Row2 {
  readonly email: string;
  readonly version: number;
  readonly hash: string | null;
}

/**
 * The last change that the log has of the email counts, too: a row may be created and deleted between two looks. A row is as it was
 * logged when it has all values of that image: columns that were added since are not in it.
 */
const rows1 = (text: string): string => `
SELECT e.email, s.version, concat_ws('/', s.version, last.version) AS state, CASE WHEN s.email IS NOT NULL THEN md5(${text}) END AS hash,
       CASE WHEN s.version = 0 THEN false
            WHEN last.version IS NULL THEN NULL
            WHEN last.operation = 'deleted' OR s.email IS NULL THEN last.operation = 'deleted' AND s.email IS NULL
            ELSE s.version = last.version AND NOT EXISTS (
              SELECT FROM jsonb_each(last.event::jsonb #> '{data,subscription}') i WHERE i.value IS DISTINCT FROM to_jsonb(s) -> i.key)
       END AS as_logged
FROM unnest($1::text[]) e(email)
LEFT JOIN subscriptions s ON s.email = e.email
LEFT JOIN LATERAL (
  SELECT c.version, c.operation, c.event FROM subscription_changes c WHERE c.email = e.email ORDER BY c.version DESC LIMIT 1
) last ON true`;

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
  for (const { email, version, state, hash, as_logged: asLogged } of before) {
    const other = replica.get(email);
    if (hash === (other?.hash ?? null) && asLogged !== false) continue;
    found.set(email, {
      email,
      state: after.get(email) === state ? state : `${state} moving`,
      inDb1: hash !== null,
      versionInDb1: version ?? 0,
      inDb2: typeof other?.hash === 'string',
      versionInDb2: other?.version ?? 0,
      asLogged: asLogged ?? undefined,
    });
  }
  return found;
}
