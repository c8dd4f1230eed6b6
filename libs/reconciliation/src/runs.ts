import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import type { Observation } from './observe-continuity.js';

/** Who does not renew it for so long has given it up, s. */
const LEASE_S = 15;

/**
 * How a pass ended: `equal`, no difference outlasted the stream; `repaired`, all that did are mended; `differs`, some are not, because
 * the pass was not to repair, or could not; `too_many`, more than it was to repair without asking.
 */
export const OUTCOMES = ['equal', 'repaired', 'differs', 'too_many'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** What a pass is to do. */
export interface Task {
  readonly reason: string;
  readonly repair: boolean;
  /** Rows to repair at most; null for any number. */
  readonly at_most: number | null;
  /** What the pass is to deal with. */
  readonly evidence: Observation;
}

/** How far it is. */
export interface Progress {
  /** The last email that is done. */
  readonly position: string;
  readonly compared: number;
  /** Rows that differed for good. */
  readonly differing: number;
  readonly repaired: number;
}

/** A pass over both databases, as DB1.reconciliation_runs keeps it. */
export interface Run extends Task, Progress {
  readonly id: number;
}

export const NO_EVIDENCE: Observation = { partitions: [], sequence: 0 };

/** Passes of this database pair: one at a time, worked on by one process, taken over when it is gone. */
export class Runs {
  private readonly runner = randomUUID();

  constructor(private readonly db1: DataSource) {}

  /**
   * Asks for a pass. `unlessWithinS`: not when one began within so many seconds.
   * @returns its id; undefined when one is unfinished, or began lately.
   */
  async open({ reason, repair, at_most, evidence }: Task, unlessWithinS = 0, manager = this.db1.manager): Promise<number | undefined> {
    const rows = await manager.query<{ id: number }[]>(
      `INSERT INTO reconciliation_runs (reason, repair, at_most, evidence) SELECT $1, $2, $3, $4
       WHERE NOT EXISTS (SELECT FROM reconciliation_runs WHERE started_at > clock_timestamp() - make_interval(secs => $5))
       ON CONFLICT DO NOTHING RETURNING id`,
      [reason, repair, at_most, evidence, unlessWithinS],
    );
    return rows[0]?.id;
  }

  /** The unfinished pass, when nobody else works on it. */
  async claim(): Promise<Run | undefined> {
    const [rows] = await this.db1.query<[Run[]]>(
      `UPDATE reconciliation_runs SET runner = $1, lease_until = clock_timestamp() + interval '${LEASE_S} s'
       WHERE finished_at IS NULL AND (runner IS NULL OR runner = $1 OR lease_until < clock_timestamp())
       RETURNING id, reason, repair, at_most, evidence, position, compared, differing, repaired`,
      [this.runner],
    );
    return rows[0];
  }

  /** Renews the lease and notes how far the pass is. @throws Error when another process has taken it over. */
  async renew({ id }: Run, { position, compared, differing, repaired }: Progress): Promise<void> {
    const [, count] = await this.db1.query<[unknown, number]>(
      `UPDATE reconciliation_runs SET lease_until = clock_timestamp() + interval '${LEASE_S} s',
         position = $3, compared = $4, differing = $5, repaired = $6
       WHERE id = $1 AND runner = $2 AND finished_at IS NULL`,
      [id, this.runner, position, compared, differing, repaired],
    );
    if (count === 0) throw new Error('Another process has taken the pass over');
  }

  /** The process stops: the next one need not wait for the lease. */
  async giveBack(): Promise<void> {
    await this.db1.query('UPDATE reconciliation_runs SET runner = NULL WHERE runner = $1 AND finished_at IS NULL', [this.runner]);
  }

  async finish({ id }: Run, outcome: Outcome): Promise<void> {
    await this.db1.query('UPDATE reconciliation_runs SET finished_at = clock_timestamp(), outcome = $2 WHERE id = $1', [id, outcome]);
  }

  /** Forgets passes, and what they found, that ended more than so many days ago. */
  async prune(days: number): Promise<void> {
    await this.db1.query('DELETE FROM reconciliation_runs WHERE finished_at < clock_timestamp() - make_interval(days => $1)', [days]);
  }
}
