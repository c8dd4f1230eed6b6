import type { Side } from './compare-range.js';

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
export async function recheckRows([one, two]: readonly [Side, Side], emails: readonly string[]): Promise<Map<string, Difference>> {
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

/** What is known of a row that differs, see look-at-rows.ts. */
export interface DifferenceFacts {
  readonly inDb1: boolean;
  /** 0 when DB1 has no such row, or the log never knew it. */
  readonly versionInDb1: number;
  /** Whether DB2 shows a row of that email. */
  readonly inDb2: boolean;
  /** The version that DB2 has, tombstones included; 0 when it knows nothing of the email. */
  readonly versionInDb2: number;
  /** Whether DB1 is as the last change of that email in its log says. Undefined when the log has none any more. */
  readonly asLogged: boolean | undefined;
}

/**
 * - `capture_hole`: DB1 is not what its log says: somebody got around the triggers.
 * - `missing`, `extra`: only DB1 has the row, or only DB2.
 * - `stale`: DB2 has an older version. `ahead`: DB2 has a newer one than DB1.
 * - `content`: the same version, other values: somebody wrote to DB2.
 */
export const CAUSES = ['capture_hole', 'missing', 'extra', 'stale', 'ahead', 'content'] as const;
export type Cause = (typeof CAUSES)[number];

export function causeOf({ inDb1, versionInDb1, inDb2, versionInDb2, asLogged }: DifferenceFacts): Cause {
  if (asLogged === false) return 'capture_hole';
  if (!inDb2) return 'missing';
  if (!inDb1) return 'extra';
  if (versionInDb2 === versionInDb1) return 'content';
  return versionInDb2 < versionInDb1 ? 'stale' : 'ahead';
}
