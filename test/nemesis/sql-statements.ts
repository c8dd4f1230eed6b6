import type { Random } from '../harness/random-operations.js';
import { someEmail, somePlan, someStatus } from './emails.js';
import type { Effect } from './history.js';

interface Row {
  readonly email: string;
  readonly status: string;
  readonly plan: string | null;
  readonly inserted?: boolean;
}

/** A statement, and the effects that its returned rows imply once it is committed. */
export interface Statement {
  readonly what: string;
  readonly text: string;
  readonly values: readonly unknown[];
  readonly effectsOf: (rows: readonly Row[]) => Effect[];
}

const RETURNING = 'RETURNING email, status, plan';

const content = ({ email, status, plan }: Row): Effect => ({ kind: 'content', email, status, plan });
const made = ({ email, status, plan }: Row): Effect => ({ kind: 'made', email, status, plan });
const contents = (rows: readonly Row[]): Effect[] => rows.map(content);

/** Every kind of statement that other programs may run. */
const STATEMENTS: readonly ((random: Random) => Statement)[] = [
  (random) => ({
    what: 'insert',
    text: `INSERT INTO subscriptions (email, status, plan) VALUES ($1, $2, $3) ${RETURNING}`,
    values: [someEmail(random), someStatus(random), somePlan(random)],
    effectsOf: (rows) => rows.map(made),
  }),
  (random) => ({
    what: 'upsert',
    text: `INSERT INTO subscriptions (email, status, plan) VALUES ($1, $2, $3)
      ON CONFLICT (email) DO UPDATE SET status = excluded.status, plan = excluded.plan ${RETURNING}, xmax = 0 AS inserted`,
    values: [someEmail(random), someStatus(random), somePlan(random)],
    effectsOf: (rows) => rows.map((row) => (row.inserted ? made(row) : content(row))),
  }),
  (random) => ({
    what: 'update',
    text: `UPDATE subscriptions SET status = $2, plan = $3 WHERE email = $1 ${RETURNING}`,
    values: [someEmail(random), someStatus(random), somePlan(random)],
    effectsOf: contents,
  }),
  (random) => ({
    what: 'update-metadata',
    text: `UPDATE subscriptions SET metadata = metadata || jsonb_build_object('k', $2::numeric / 10),
      access_until = '2027-01-01T00:00:00Z'::timestamptz + $2::int * interval '1 microsecond' WHERE email = $1 ${RETURNING}`,
    values: [someEmail(random), random.below(1_000_000)],
    effectsOf: contents,
  }),
  (random) => ({
    what: 'update-nothing',
    text: `UPDATE subscriptions SET status = status WHERE email = $1 ${RETURNING}`,
    values: [someEmail(random)],
    effectsOf: contents,
  }),
  (random) => ({
    what: 'update-many',
    text: `UPDATE subscriptions SET plan = $2 WHERE email IN (SELECT email FROM subscriptions WHERE email = ANY ($1) ORDER BY email FOR UPDATE) ${RETURNING}`,
    values: [Array.from({ length: 4 }, () => someEmail(random)), somePlan(random)],
    effectsOf: contents,
  }),
  (random) => ({
    what: 'delete',
    text: 'DELETE FROM subscriptions WHERE email = $1 RETURNING email',
    values: [someEmail(random)],
    effectsOf: (rows) => rows.map(({ email }) => ({ kind: 'deleted', email })),
  }),
  (random) => {
    const from = someEmail(random);
    return {
      what: 'rename',
      text: `UPDATE subscriptions SET email = $2 WHERE email = $1 AND email <> $2 ${RETURNING}`,
      values: [from, someEmail(random)],
      effectsOf: (rows) => rows.flatMap((row): Effect[] => [{ kind: 'deleted', email: from }, made(row)]),
    };
  },
];

export function someStatement(random: Random): Statement {
  return random.pick(STATEMENTS)(random);
}
