import { neverDrawn, selectNewestChange } from '#change-log';
import { readReplicaStates } from '#replica';
import type { Side } from './compare-range.js';

/** A row that is not the same in both databases. */
export interface Difference extends DifferenceFacts {
  readonly email: string;
  /** Identifies the row's current change in DB1: it differs after each change. */
  readonly state: string;
}

interface Row1 {
  readonly email: string;
  readonly version: number | null;
  readonly state: string;
  readonly hash: string | null;
  readonly as_logged: boolean;
}

/** Identifies the current change of a row in DB1. */
const STATE = `coalesce(last.version::text, '') AS state`;
const LAST = `LEFT JOIN LATERAL (${selectNewestChange('e.email', 'c.version, c.operation, c.image')}) last ON true`;

/** $2: the versions of the emails in DB2. */
const STATES = `
SELECT e.email, ${STATE}, ${neverDrawn('e.version', 'last.version')} AS "foreign"
FROM unnest($1::text[], $2::bigint[]) e(email, version) ${LAST}`;

/**
 * Includes the last logged change of the email: a row may be created and deleted between two reads. A row is as it was logged when it
 * has all values of the logged image; columns that were added since are not in that image.
 */
const rows1 = (text: string): string => `
SELECT e.email, last.version, ${STATE}, CASE WHEN s.email IS NOT NULL THEN md5(${text}) END AS hash,
       CASE WHEN last.version IS NULL THEN s.email IS NULL
            WHEN last.operation = 'deleted' OR s.email IS NULL THEN last.operation = 'deleted' AND s.email IS NULL
            ELSE NOT EXISTS (SELECT FROM jsonb_each(last.image::jsonb) i WHERE i.value IS DISTINCT FROM to_jsonb(s) -> i.key)
       END AS as_logged
FROM unnest($1::text[]) e(email) LEFT JOIN subscriptions s ON s.email = e.email ${LAST}`;

/**
 * Returns those emails whose rows differ, or whose version in DB2 is foreign: the guard would drop their next changes. DB1 is read before and after DB2; a row that DB1 changed in between is on its way, and gets
 * a state that equals no other.
 */
export async function recheckRows([one, two]: readonly [Side, Side], emails: readonly string[]): Promise<Map<string, Difference>> {
  if (emails.length === 0) return new Map();
  const before = await one.database.query<Row1[]>(rows1(one.row.text), [emails]);
  const replica = new Map((await readReplicaStates(two.database, `md5(${two.row.text})`, emails)).map((row) => [row.email, row]));
  const versions = emails.map((email) => replica.get(email)?.version ?? 0);
  const states = await one.database.query<{ email: string; state: string; foreign: boolean }[]>(STATES, [emails, versions]);
  const after = new Map(states.map((row) => [row.email, row]));
  const found = new Map<string, Difference>();
  for (const { email, version, state, hash, as_logged: asLogged } of before) {
    const other = replica.get(email);
    const otherHash = other?.value ?? null;
    const { state: stateAfter, foreign } = after.get(email)!;
    if (hash === otherHash && asLogged && !foreign) continue;
    found.set(email, {
      email,
      state: stateAfter === state ? state : `${state} moving`,
      inDb1: hash !== null,
      versionInDb1: version ?? 0,
      inDb2: otherHash !== null,
      versionInDb2: other?.version ?? 0,
      foreign,
      asLogged,
    });
  }
  return found;
}

/** Facts about a row that differs. */
export interface DifferenceFacts {
  readonly inDb1: boolean;
  /** Version of the email's newest change in DB1; 0 when there is none. */
  readonly versionInDb1: number;
  /** Whether DB2 has a row of that email. */
  readonly inDb2: boolean;
  /** Version of the last change of that email that DB2 has applied; 0 when there is none. */
  readonly versionInDb2: number;
  /** Whether DB1 has never drawn that version for the email: a record on the topic was not written by DB1, or DB1 has lost changes. */
  readonly foreign: boolean;
  /** Whether DB1's row matches the newest change of that email. */
  readonly asLogged: boolean;
}

/**
 * Causes of a difference:
 * - `foreign`: DB2 has a version of that email that DB1 never drew.
 * - `capture_hole`: DB1 does not match its log: a program bypassed the triggers.
 * - `missing`, `extra`: only DB1 has the row, or only DB2, whatever DB2 has applied: a program may have deleted the row.
 * - `stale`: DB2 has an older version. `ahead`: DB2 has a newer version than DB1's row: that of a backfill.
 * - `content`: the versions are equal and the values are not: another program wrote to DB2.
 */
export const CAUSES = ['foreign', 'capture_hole', 'missing', 'extra', 'stale', 'ahead', 'content'] as const;
export type Cause = (typeof CAUSES)[number];

export function causeOf({ inDb1, versionInDb1, inDb2, versionInDb2, foreign, asLogged }: DifferenceFacts): Cause {
  if (foreign) return 'foreign';
  if (!asLogged) return 'capture_hole';
  if (!inDb2) return 'missing';
  if (!inDb1) return 'extra';
  if (versionInDb2 === versionInDb1) return 'content';
  return versionInDb2 < versionInDb1 ? 'stale' : 'ahead';
}
