import type { Side } from './compare-range.js';
import type { DifferenceFacts } from './differences.js';

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

/** What tells one change of a row in DB1 from the next. */
const STATE = `concat_ws('/', s.version, last.version) AS state`;
const FROM = `
FROM unnest($1::text[]) e(email)
LEFT JOIN subscriptions s ON s.email = e.email
LEFT JOIN LATERAL (
  SELECT c.version, c.operation, c.event FROM subscription_changes c WHERE c.email = e.email ORDER BY c.version DESC LIMIT 1
) last ON true`;
const STATES = `SELECT e.email, ${STATE} ${FROM}`;

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
SELECT e.email, s.version, ${STATE}, CASE WHEN s.email IS NOT NULL THEN md5(${text}) END AS hash,
       CASE WHEN s.version = 0 THEN false
            WHEN last.version IS NULL THEN NULL
            WHEN last.operation = 'deleted' OR s.email IS NULL THEN last.operation = 'deleted' AND s.email IS NULL
            ELSE s.version = last.version AND NOT EXISTS (
              SELECT FROM jsonb_each(last.event::jsonb #> '{data,subscription}') i WHERE i.value IS DISTINCT FROM to_jsonb(s) -> i.key)
       END AS as_logged
${FROM}`;

const rows2 = (text: string): string => `
SELECT s.email, s.version, CASE WHEN s.tombstoned_at IS NULL THEN md5(${text}) END AS hash
FROM replicated_subscriptions s WHERE s.email = ANY ($1)`;

/**
 * Those of the emails whose rows differ while DB1 does not change them: DB1 is read before and after DB2, and what it changed in
 * between counts as on its way, with a state of its own.
 */
export async function lookAtRows([one, two]: readonly [Side, Side], emails: readonly string[]): Promise<Map<string, Difference>> {
  if (emails.length === 0) return new Map();
  const before = await one.database.query<Row1[]>(rows1(one.row.text), [emails]);
  const replica = new Map((await two.database.query<Row2[]>(rows2(two.row.text), [emails])).map((row) => [row.email, row]));
  const after = new Map(
    (await one.database.query<{ email: string; state: string }[]>(STATES, [emails])).map((row) => [row.email, row.state]),
  );
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
