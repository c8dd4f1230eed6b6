import { escapeLiteral } from 'pg';
import { neverDrawn, selectNewestChange } from '#change-log';
import { asKey, hasKey, imageExpression, keyOperator, type SubscriptionTable } from '#postgres';
import { readReplicaStates } from '#replica';
import { LOG_KNOWS_ALL_ROWS } from '#sync';
import type { Side } from './compare-range.js';
import type { Tables } from './row-fingerprint.js';

/** A row that is not the same in both databases. */
export interface Difference extends DifferenceFacts {
  /** The key. */
  readonly email: string;
  /** The email as a row has it. */
  readonly written: string;
  /** The spelling by which the difference was found, and is found again. */
  readonly suspect: string;
  /** Identifies the row's current change in DB1: it differs after each change. */
  readonly state: string;
}

interface Row1 {
  readonly suspect: string;
  readonly collides: boolean;
  readonly email: string;
  readonly written: string;
  readonly version: number | null;
  readonly state: string;
  readonly hash: string | null;
  readonly as_logged: boolean;
}

/** Identifies the current change of a row in DB1. */
const STATE = `coalesce(last.version::text, '') AS state`;
const LAST = `LEFT JOIN LATERAL (${selectNewestChange('e.email', 'c.version, c.operation, c.image')}) last ON true`;

/** $1: keys, $2: their versions in DB2. */
const STATES = `
SELECT e.email, ${STATE}, ${neverDrawn('e.version', 'last.version')} AS "foreign"
FROM unnest($1::text[], $2::bigint[]) e(email, version) ${LAST}`;

/**
 * Includes the last logged change of the email: a row may be created and deleted between two reads. A row is as it was logged when it
 * has all values of the logged image; columns that were added since are not in that image. A row that existed before the service came is not
 * in the log until it changes.
 */
const rowsOf = (table: SubscriptionTable, text: string): string => `
SELECT e.email, e.written AS suspect, coalesce(s.${table.key}::text, e.written) AS written, last.version, ${STATE}, CASE WHEN s.${table.key} IS NOT NULL THEN md5(${text}) END AS hash,
       CASE WHEN last.version IS NULL THEN s.${table.key} IS NULL OR NOT ${LOG_KNOWS_ALL_ROWS}
            WHEN last.operation = 'deleted' OR s.${table.key} IS NULL THEN last.operation = 'deleted' AND s.${table.key} IS NULL
            ELSE NOT EXISTS (
              WITH present AS MATERIALIZED (SELECT subscription_sync.read_image(${imageExpression(table.columns, 's')}) AS image)
              SELECT FROM present p, jsonb_each(subscription_sync.read_image(last.image)) i WHERE i.value IS DISTINCT FROM p.image -> i.key)
       END AS as_logged,
       e.written <> s.${table.key}::text AND EXISTS (SELECT FROM ${table.sql} o WHERE ${hasKey(table, 'o', asKey(table, 'e.written'))} AND o.${table.key} ${keyOperator(table, '<>')} s.${table.key}) AS collides
FROM (
  SELECT k.email, max(w) AS written FROM unnest($1::text[]) w, LATERAL (SELECT subscription_sync.normalize_email(w) AS email) k WHERE k.email <> '' GROUP BY 1
) e ${LAST}
LEFT JOIN ${table.sql} s ON ${hasKey(table, 's', asKey(table, `coalesce(subscription_sync.read_image(last.image)->>${escapeLiteral(table.keyColumn.name)}, e.written)`))}`;

/** Maximum number of emails of a statement, which takes about a second with the built-in table, and more with wide rows or a busy database. */
const MAX_EMAILS = 5_000;

/**
 * Returns those emails whose rows differ, or whose version in DB2 is foreign: the guard would drop their next changes. DB1 is read before and
 * after DB2; a row that DB1 changed in between is on its way, and gets a state that equals no other. The emails may be in any spelling; those
 * of the result are keys.
 * @param between called after each {@link MAX_EMAILS}, when there are more.
 */
export async function recheckRows(
  sides: readonly [Side, Side],
  tables: Tables,
  emails: readonly string[],
  between: () => Promise<void>,
): Promise<Map<string, Difference>> {
  const found = new Map<string, Difference>();
  for (let from = 0; from < emails.length; from += MAX_EMAILS) {
    if (from > 0) await between();
    for (const difference of await recheckSome(sides, tables, emails.slice(from, from + MAX_EMAILS)))
      found.set(difference.email, difference);
  }
  return found;
}

async function recheckSome([one, two]: readonly [Side, Side], tables: Tables, emails: readonly string[]): Promise<Difference[]> {
  const before = await one.database.query<Row1[]>(rowsOf(tables.db1, one.row.text), [emails]);
  const replica = new Map(
    (await readReplicaStates(two.database, tables.db2, `md5(${two.row.text})`, before)).map((row) => [row.email, row]),
  );
  const keys = before.map(({ email }) => email);
  const versions = keys.map((email) => replica.get(email)?.version ?? 0);
  const states = await one.database.query<{ email: string; state: string; foreign: boolean }[]>(STATES, [keys, versions]);
  const after = new Map(states.map((row) => [row.email, row]));
  const found: Difference[] = [];
  for (const { email, suspect, written, version, state, hash, as_logged: asLogged, collides } of before) {
    const other = replica.get(email);
    const otherHash = other?.value ?? null;
    const { state: stateAfter, foreign } = after.get(email)!;
    const isEqual = hash === otherHash && asLogged && !foreign;
    if (isEqual && !collides) continue;
    found.push({
      email,
      suspect,
      written,
      collides: isEqual,
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
  /** DB1 has two rows whose emails have the same key. The one that changed last is replicated, and is equal in DB2. */
  readonly collides: boolean;
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
 * - `collision`: DB1 has two rows with the same key, of which one is replicated. It is for a person to mend.
 * - `foreign`: DB2 has a version of that email that DB1 never drew.
 * - `capture_hole`: DB1 does not match its log: a program bypassed the triggers.
 * - `missing`, `extra`: only DB1 has the row, or only DB2, whatever DB2 has applied: a program may have deleted the row.
 * - `stale`: DB2 has an older version. `ahead`: DB2 has a newer version than DB1's row: that of a backfill.
 * - `content`: the versions are equal and the values are not: another program wrote to DB2.
 */
export const CAUSES = ['collision', 'foreign', 'capture_hole', 'missing', 'extra', 'stale', 'ahead', 'content'] as const;
export type Cause = (typeof CAUSES)[number];

export function causeOf({ inDb1, versionInDb1, inDb2, versionInDb2, foreign, asLogged, collides }: DifferenceFacts): Cause {
  if (collides) return 'collision';
  if (foreign) return 'foreign';
  if (!asLogged) return 'capture_hole';
  if (!inDb2) return 'missing';
  if (!inDb1) return 'extra';
  if (versionInDb2 === versionInDb1) return 'content';
  return versionInDb2 < versionInDb1 ? 'stale' : 'ahead';
}
