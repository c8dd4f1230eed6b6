import { actorOf, addressOf, withoutEmail } from '#http';
import type { Query } from '#postgres';

/** Administrative acts. `import.end` and `export.end` tell how what an earlier act began has ended. */
export const ACTIONS = [
  'key.create',
  'key.rotate',
  'key.revoke',
  'key.keep',
  'dead_letter.redrive',
  'dead_letter.redrive_all',
  'dead_letter.discard',
  'run.start',
  'backfill.start',
  'run.pause',
  'run.resume',
  'run.cancel',
  'import.begin',
  'import.end',
  'export.begin',
  'export.end',
  'subscription.erase',
] as const;
export type AuditAction = (typeof ACTIONS)[number];

/** Who does something, and from where. */
export interface Initiator {
  /** The caller of the API as changes record it, or `cli:` and the user of the operating system. Never an email. */
  readonly actor: string;
  /** Address of the caller, or host name of the command line. Null when it is not known. */
  readonly address: string | null;
  /** Id of the request, by which the log names it. Null for the command line. */
  readonly request_id: string | null;
}

/** An administrative act. It must not contain an email: entries outlive the subscriptions. */
export interface Act extends Initiator {
  readonly action: AuditAction;
  /** Id of what the act is about. Null for acts without one, and where {@link recordedAs} provides it. */
  readonly target?: string | null;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Returns who sent a request. @throws Error when the access check did not run, which is a defect. */
export function initiatorOf(request: object): Initiator {
  const { id } = request as { readonly id: string };
  return { actor: withoutEmail(actorOf(request)), address: addressOf(request), request_id: id };
}

const COLUMNS = 'actor, address, request_id, action, target, details';
const RECORD = 'a (actor text, address text, request_id text, action text, target text, details jsonb)';

const INSERT_ACT = `INSERT INTO subscription_sync.audit (${COLUMNS})
SELECT a.actor, a.address, a.request_id, a.action, a.target, coalesce(a.details, '{}') FROM jsonb_to_record($1) AS ${RECORD}`;

/** Records an act by a statement of its own, in the transaction of the act if `query` is that transaction's. */
export async function recordAct(query: Query, act: Act): Promise<void> {
  await query(INSERT_ACT, [act]);
}

/**
 * Returns a common table expression that records an act in the statement that does it, so that neither is committed without the other.
 * @param parameter number of the parameter that is the {@link Act}.
 * @param done name of the common table expression that does it. Each of its rows is an act.
 * @param target SQL of the target, from the columns of `done`.
 */
export function recordedAs(parameter: number, done: string, target: string): string {
  return `recorded AS (
    INSERT INTO subscription_sync.audit (${COLUMNS})
    SELECT a.actor, a.address, a.request_id, a.action, ${target}, coalesce(a.details, '{}')
    FROM ${done}, jsonb_to_record($${parameter}) AS ${RECORD})`;
}
