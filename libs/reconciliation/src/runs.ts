import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { type Act, recordedAs } from '#audit';
import { TIMINGS, type Timings } from '#config';
import { type Database, DB1, isUniqueViolation } from '#postgres';
import { mustCopyExistingRows, storeExistingRowsCopied } from '#sync';
import type { Observation } from './gaps.js';

/**
 * Kinds of runs:
 * - `compare`: finds rows that differ, and repairs them if the run repairs.
 * - `resync`: a backfill: copies every row to DB2, then compares and repairs.
 * - `republish`: a backfill that publishes every row again instead of copying it.
 */
export const KINDS = ['compare', 'resync', 'republish'] as const;
export type Kind = (typeof KINDS)[number];

/**
 * Outcomes of a run:
 * - `equal`: no difference was confirmed.
 * - `repaired`: all confirmed differences were repaired.
 * - `differs`: some were not, because the run does not repair or could not.
 * - `too_many`: there were more differences than the run's repair limit.
 * - `resynced`: the backfill copied all rows to DB2, and no row differs any more.
 * - `cancelled`: the run was cancelled through the API or the command line.
 */
export const OUTCOMES = ['equal', 'repaired', 'differs', 'too_many', 'resynced', 'cancelled'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** The parameters of a run. */
export interface RunRequest {
  readonly kind: Kind;
  readonly reason: string;
  readonly repair: boolean;
  /** Maximum number of differences to repair; null for any number. */
  readonly repair_limit: number | null;
  /** `changed`: only emails that were changed since the previous run. */
  readonly scope: 'all' | 'changed';
  /** Only emails above this one, in the order of their bytes; '' for all. */
  readonly after_email: string;
  /** Only emails up to this one; null for all. */
  readonly until_email: string | null;
  /** Percentage of the time that the run works, 1 to 100. */
  readonly load: number;
  /** Maximum number of rows a second that a backfill copies; null for any number. */
  readonly rate: number | null;
  /** The gaps that the run deals with. */
  readonly evidence: Observation;
}

/** The progress of a run. */
export interface Progress {
  /** The last email that is done; all emails of the range up to it are. */
  readonly position: string;
  readonly compared: number;
  /** Number of rows that differ now and may be on their way. */
  readonly in_flight: number;
  /** Number of confirmed differences. */
  readonly differing: number;
  readonly repaired: number;
}

/** The version with which a backfill copies all rows. */
export interface Label {
  readonly version: number;
  /** As PostgreSQL prints it in UTC. */
  readonly drawnAt: string;
}

/** A run over both databases, as stored in DB1.subscription_sync.reconciliation_runs. */
export interface Run extends RunRequest, Progress {
  readonly id: number;
  /** Snapshot of DB1: emails that were changed since are compared first. Null for none. */
  readonly since: string | null;
  /** The version with which a backfill copies rows. Null until it was drawn. */
  readonly label: number | null;
  /** When the label was drawn, as PostgreSQL prints it in UTC. */
  readonly labelled_at: string | null;
}

/** Reason of the run that brings the rows to DB2 which existed before the service came. */
const FIRST_BACKFILL = 'first_backfill';

/** Reason of the runs that are opened every RECONCILE_INTERVAL. */
export const SCHEDULED = 'scheduled';
/** Reason of the runs that a person asks for. */
const REQUESTED = 'requested';

const ALL_ROWS: RunRequest = {
  kind: 'compare',
  reason: REQUESTED,
  repair: true,
  repair_limit: null,
  scope: 'all',
  after_email: '',
  until_email: null,
  load: 100,
  rate: null,
  evidence: { partitions: [], sequence: 0 },
};

/** Thrown to end the work on a run that was paused or cancelled, or gives way to a requested run (`yield`). */
export class Interrupted extends Error {
  constructor(readonly by: 'pause' | 'cancel' | 'yield') {
    super(`A ${by} of the run was requested`);
  }
}

/** The snapshot of the last run that compared all emails that had been changed before it. */
const SINCE = `
SELECT snapshot FROM subscription_sync.reconciliation_runs
WHERE outcome IN ('equal', 'repaired', 'differs') AND after_email = '' AND until_email IS NULL ORDER BY id DESC LIMIT 1`;

/**
 * Pauses the scheduled run that is in progress until no other run is: a person should not wait hours for it. A statement that needs its
 * place reads `gave_way`: only then is this part of it carried out first.
 * @param condition further condition on the statement as a whole.
 */
export function yieldScheduledRun(condition = 'true'): string {
  return `gave_way AS (
    UPDATE subscription_sync.reconciliation_runs SET paused = true, yielded = true
    WHERE reason = '${SCHEDULED}' AND finished_at IS NULL AND NOT paused AND ${condition} RETURNING 1)`;
}

/**
 * Returns the statement that opens a run, and its parameters. A requested run goes before a scheduled one. The statement returns the run's id,
 * or no row when another run is unfinished and not paused, or when a run of that kind and scope was started within the last `unlessWithinS`
 * seconds.
 * @param act recorded in the audit log with the run; undefined for a run that the service opens by itself.
 */
export function openRunStatement(request: Partial<RunRequest>, unlessWithinS = 0, act?: Act): [sql: string, parameters: unknown[]] {
  const { kind, reason, repair, repair_limit, scope, after_email, until_email, load, rate, evidence } = { ...ALL_ROWS, ...request };
  const coversAllRows = after_email === '' && until_email === null && kind === 'compare';
  return [
    `WITH ${yieldScheduledRun(`$2 = '${REQUESTED}'`)}, opened AS (
       INSERT INTO subscription_sync.reconciliation_runs (kind, reason, repair, repair_limit, scope, after_email, until_email, position, load, rate, evidence, since)
       SELECT $1, $2, $3, $4, $5, $6, $7, $6, $8, $9, $10, CASE WHEN $11 THEN (${SINCE}) END
       WHERE NOT EXISTS (
         SELECT FROM subscription_sync.reconciliation_runs WHERE started_at > clock_timestamp() - make_interval(secs => $12) AND scope IN ('all', $5) AND kind = $1)
         AND (SELECT count(*) FROM gave_way) >= 0
       ON CONFLICT DO NOTHING RETURNING id)${act ? `, ${recordedAs(13, 'opened', 'opened.id::text')}` : ''}
     SELECT id FROM opened`,
    [
      ...[kind, reason, repair, repair_limit, scope, after_email, until_email, load, rate, evidence, coversAllRows, unlessWithinS],
      ...(act ? [act] : []),
    ],
  ];
}

/** The runs of this pair of databases, for the process that works on them. One process at a time does; another takes over when it is gone. */
@Injectable()
export class Runs {
  private readonly runner = randomUUID();
  private readonly lease: string;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(TIMINGS) timings: Timings,
  ) {
    this.lease = `clock_timestamp() + interval '${timings.reconciliation.runLeaseMs} ms'`;
  }

  /** Opens a run; see `openRunStatement`. @returns its id; undefined when it was not opened. */
  async open(request: Partial<RunRequest>, unlessWithinS = 0): Promise<number | undefined> {
    const rows = await this.db1.dataSource.query<{ id: number }[]>(...openRunStatement(request, unlessWithinS));
    return rows[0]?.id;
  }

  /**
   * Opens the backfill that brings the rows to DB2 which existed before the service came, unless it was done. `repairs` is for rows that only DB2
   * has, as in scheduled runs. @returns whether it was opened.
   */
  async openFirstBackfill(repairs: Pick<RunRequest, 'repair' | 'repair_limit'>): Promise<boolean> {
    if (!(await mustCopyExistingRows(this.db1.dataSource))) return false;
    const paused = await this.db1.dataSource.query<unknown[]>(
      'SELECT FROM subscription_sync.reconciliation_runs WHERE reason = $1 AND finished_at IS NULL',
      [FIRST_BACKFILL],
    );
    return paused.length === 0 && (await this.open({ ...repairs, kind: 'resync', reason: FIRST_BACKFILL })) !== undefined;
  }

  /** Returns the evidence of the run that is unfinished and not paused, if there is one. */
  async unfinishedEvidence(): Promise<Observation | undefined> {
    const [run] = await this.db1.dataSource.query<{ evidence: Observation }[]>(
      'SELECT evidence FROM subscription_sync.reconciliation_runs WHERE finished_at IS NULL AND NOT paused',
    );
    return run?.evidence;
  }

  /** Continues a scheduled run that gave way, when no other run is in progress any more. */
  async continueYielded(): Promise<void> {
    try {
      await this.db1.dataSource.query(
        `UPDATE subscription_sync.reconciliation_runs SET paused = false, yielded = false
         WHERE id = (SELECT min(id) FROM subscription_sync.reconciliation_runs WHERE yielded AND finished_at IS NULL)
           AND NOT EXISTS (SELECT FROM subscription_sync.reconciliation_runs WHERE finished_at IS NULL AND NOT paused)`,
      );
    } catch (error) {
      // Another run was opened meanwhile.
      if (!isUniqueViolation(error)) throw error;
    }
  }

  /** Makes a run compare all rows, and not those first that have changed. @returns the run as it is then. */
  async widen(run: Run): Promise<Run> {
    await this.db1.dataSource.query(`UPDATE subscription_sync.reconciliation_runs SET scope = 'all', since = NULL WHERE id = $1`, [run.id]);
    return { ...run, scope: 'all', since: null };
  }

  /** Takes the unfinished run, unless it is paused or another process works on it. */
  async claim(): Promise<Run | undefined> {
    const [rows] = await this.db1.dataSource.query<[Run[]]>(
      `UPDATE subscription_sync.reconciliation_runs SET runner = $1, lease_until = ${this.lease}
       WHERE finished_at IS NULL AND NOT paused AND (runner IS NULL OR runner = $1 OR lease_until < clock_timestamp())
       RETURNING id, kind, reason, repair, repair_limit, scope, after_email, until_email, load, rate, evidence, since::text, label,
         labelled_at::text, position, compared, in_flight, differing, repaired`,
      [this.runner],
    );
    return rows[0];
  }

  /**
   * Renews the lease and stores the progress.
   * @throws Interrupted when the run was paused or cancelled, or gives way. @throws Error when another process has taken it over.
   */
  async renew({ id }: Run, { position, compared, in_flight, differing, repaired }: Progress): Promise<void> {
    const [rows] = await this.db1.dataSource.query<[{ paused: boolean; yielded: boolean; cancelled: boolean }[]]>(
      `UPDATE subscription_sync.reconciliation_runs SET lease_until = ${this.lease},
         position = $3, compared = $4, in_flight = $5, differing = $6, repaired = $7
       WHERE id = $1 AND runner = $2 AND finished_at IS NULL RETURNING paused, yielded, cancel_requested AS cancelled`,
      [id, this.runner, position, compared, in_flight, differing, repaired],
    );
    const [run] = rows;
    if (!run) throw new Error('Another process has taken over the run');
    if (run.cancelled) throw new Interrupted('cancel');
    if (run.paused) throw new Interrupted(run.yielded ? 'yield' : 'pause');
  }

  /** Stores the label of a backfill, so that a process that takes the run over uses the same one. */
  async storeLabel({ id }: Run, { version, drawnAt }: Label): Promise<void> {
    await this.db1.dataSource.query('UPDATE subscription_sync.reconciliation_runs SET label = $2, labelled_at = $3 WHERE id = $1', [
      id,
      version,
      drawnAt,
    ]);
  }

  /** Ends the lease when the process stops or the run is paused, so that another process need not wait for it. */
  async giveBack(): Promise<void> {
    await this.db1.dataSource.query(
      'UPDATE subscription_sync.reconciliation_runs SET runner = NULL WHERE runner = $1 AND finished_at IS NULL',
      [this.runner],
    );
  }

  async finish({ id, kind, after_email, until_email }: Run, outcome: Outcome): Promise<void> {
    await this.db1.dataSource.query(
      'UPDATE subscription_sync.reconciliation_runs SET finished_at = clock_timestamp(), outcome = $2, in_flight = 0 WHERE id = $1',
      [id, outcome],
    );
    // Also when an operator cancelled it: it must not begin again.
    const copiedAll = kind !== 'compare' && after_email === '' && until_email === null;
    if (copiedAll) await storeExistingRowsCopied(this.db1.dataSource);
  }

  /**
   * Deletes runs and their differences that ended more than so many days ago; and, before the last run, the frequent runs over changed
   * emails that found nothing.
   */
  async prune(days: number): Promise<void> {
    await this.db1.dataSource.query(
      `DELETE FROM subscription_sync.reconciliation_runs r WHERE finished_at < clock_timestamp() - make_interval(days => $1)
         OR scope = 'changed' AND outcome = 'equal' AND EXISTS (
           SELECT FROM subscription_sync.reconciliation_runs n WHERE n.id > r.id AND n.outcome IN ('equal', 'repaired', 'differs') AND n.until_email IS NULL AND n.after_email = '')`,
      [days],
    );
  }
}
