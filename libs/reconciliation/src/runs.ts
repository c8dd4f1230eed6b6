import { randomUUID } from 'node:crypto';
import type { DataSource, EntityManager } from 'typeorm';
import type { Observation } from './gaps.js';

/** Who does not renew it for so long has given it up, s. */
const LEASE_S = 15;

/**
 * - `compare`: looks for rows that differ, and repairs them if it is to.
 * - `resync`: copies every row to DB2, then compares and repairs.
 * - `republish`: publishes every row anew, then compares and repairs.
 */
export const KINDS = ['compare', 'resync', 'republish'] as const;
export type Kind = (typeof KINDS)[number];

/**
 * How a run ended: `equal`, no difference outlasted the stream; `repaired`, all that did are mended; `differs`, some are not, because
 * the run was not to repair, or could not; `too_many`, more than it was to repair without asking; `resynced`, all rows have
 * reached DB2, and none is left that differs; `cancelled`, somebody ended it.
 */
export const OUTCOMES = ['equal', 'repaired', 'differs', 'too_many', 'resynced', 'cancelled'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** What a run is to do. */
export interface RunRequest {
  readonly kind: Kind;
  readonly reason: string;
  readonly repair: boolean;
  /** Rows to repair at most; null for any number. */
  readonly repair_limit: number | null;
  /** `changed`: only emails that were changed since the last run. */
  readonly scope: 'all' | 'changed';
  /** Emails above this one, in the order of their bytes; '' for all. */
  readonly after_email: string;
  /** Emails up to this one; null for all. */
  readonly until_email: string | null;
  /** Percent of the time in which it works, 1 to 100. */
  readonly load: number;
  /** Rows a second that a resync brings at most; null for any number. */
  readonly rate: number | null;
  /** What the run is to deal with. */
  readonly evidence: Observation;
}

/** How far it is. */
export interface Progress {
  /** The last email that is done. */
  readonly position: string;
  readonly compared: number;
  /** Rows that differ now and may be on their way. */
  readonly in_flight: number;
  /** Rows that differed for good. */
  readonly differing: number;
  readonly repaired: number;
}

/** A run over both databases, as DB1.reconciliation_runs keeps it. */
export interface Run extends RunRequest, Progress {
  readonly id: number;
  /** A snapshot of DB1: what was changed since is looked at first. Null: nothing is. */
  readonly since: string | null;
}

export const ALL_ROWS: RunRequest = {
  kind: 'compare',
  reason: 'requested',
  repair: true,
  repair_limit: null,
  scope: 'all',
  after_email: '',
  until_email: null,
  load: 100,
  rate: null,
  evidence: { partitions: [], sequence: 0 },
};

/** Why another run can't be begun. */
export const UNDER_WAY = 'A run is under way already: wait for it, pause it or cancel it';

/** Somebody asked the run to pause or to end. */
export class Interrupted extends Error {
  constructor(readonly by: 'pause' | 'cancel') {
    super(`The run is to ${by}`);
  }
}

/** The snapshot of the last run that looked at all that had been changed before it. */
const SINCE = `
SELECT snapshot FROM reconciliation_runs
WHERE outcome IN ('equal', 'repaired', 'differs') AND after_email = '' AND until_email IS NULL ORDER BY id DESC LIMIT 1`;

/** Runs of this database pair: one at a time, worked on by one process, taken over when it is gone. */
export class Runs {
  private readonly runner = randomUUID();

  constructor(private readonly db1: DataSource) {}

  /**
   * Asks for a run. `unlessWithinS`: not when one of that kind and scope began within so many seconds.
   * @returns its id; undefined when one is unfinished and not paused, or began lately.
   */
  async open(task: RunRequest, unlessWithinS = 0, manager: EntityManager = this.db1.manager): Promise<number | undefined> {
    const { kind, reason, repair, repair_limit, scope, after_email, until_email, load, rate, evidence } = task;
    const whole = after_email === '' && until_email === null && kind === 'compare';
    const rows = await manager.query<{ id: number }[]>(
      `INSERT INTO reconciliation_runs (kind, reason, repair, repair_limit, scope, after_email, until_email, position, load, rate, evidence, since)
       SELECT $1, $2, $3, $4, $5, $6, $7, $6, $8, $9, $10, CASE WHEN $11 THEN (${SINCE}) END
       WHERE NOT EXISTS (
         SELECT FROM reconciliation_runs WHERE started_at > clock_timestamp() - make_interval(secs => $12) AND scope IN ('all', $5) AND kind = $1)
       ON CONFLICT DO NOTHING RETURNING id`,
      [kind, reason, repair, repair_limit, scope, after_email, until_email, load, rate, evidence, whole, unlessWithinS],
    );
    return rows[0]?.id;
  }

  /** The unfinished run, when nobody else works on it and it is not paused. */
  async claim(): Promise<Run | undefined> {
    const [rows] = await this.db1.query<[Run[]]>(
      `UPDATE reconciliation_runs SET runner = $1, lease_until = clock_timestamp() + interval '${LEASE_S} s'
       WHERE finished_at IS NULL AND NOT paused AND (runner IS NULL OR runner = $1 OR lease_until < clock_timestamp())
       RETURNING id, kind, reason, repair, repair_limit, scope, after_email, until_email, load, rate, evidence, since::text, position,
         compared, in_flight, differing, repaired`,
      [this.runner],
    );
    return rows[0];
  }

  /**
   * Renews the lease and notes how far the run is.
   * @throws Interrupted when it is to pause or to end. @throws Error when another process has taken it over.
   */
  async renew({ id }: Run, { position, compared, in_flight, differing, repaired }: Progress): Promise<void> {
    const [rows] = await this.db1.query<[{ paused: boolean; cancelled: boolean }[]]>(
      `UPDATE reconciliation_runs SET lease_until = clock_timestamp() + interval '${LEASE_S} s',
         position = $3, compared = $4, in_flight = $5, differing = $6, repaired = $7
       WHERE id = $1 AND runner = $2 AND finished_at IS NULL RETURNING paused, cancel_requested AS cancelled`,
      [id, this.runner, position, compared, in_flight, differing, repaired],
    );
    const [run] = rows;
    if (!run) throw new Error('Another process has taken the run over');
    if (run.cancelled) throw new Interrupted('cancel');
    if (run.paused) throw new Interrupted('pause');
  }

  /** The process stops, or the run pauses: the next one need not wait for the lease. */
  async giveBack(): Promise<void> {
    await this.db1.query('UPDATE reconciliation_runs SET runner = NULL WHERE runner = $1 AND finished_at IS NULL', [this.runner]);
  }

  async finish({ id }: Pick<Run, 'id'>, outcome: Outcome): Promise<void> {
    await this.db1.query('UPDATE reconciliation_runs SET finished_at = clock_timestamp(), outcome = $2, in_flight = 0 WHERE id = $1', [
      id,
      outcome,
    ]);
  }

  /**
   * Forgets runs, and what they found, that ended more than so many days ago; and those before the last one that looked at changed
   * emails every minute and found nothing.
   */
  async prune(days: number): Promise<void> {
    await this.db1.query(
      `DELETE FROM reconciliation_runs r WHERE finished_at < clock_timestamp() - make_interval(days => $1)
         OR scope = 'changed' AND outcome = 'equal' AND EXISTS (
           SELECT FROM reconciliation_runs n WHERE n.id > r.id AND n.outcome IN ('equal', 'repaired', 'differs') AND n.until_email IS NULL AND n.after_email = '')`,
      [days],
    );
  }
}
