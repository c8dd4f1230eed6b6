import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import type { Observation } from './observe-continuity.js';

/** Who does not renew it for so long has given it up, s. */
const LEASE_S = 15;

/** A pass over both databases, as DB1.reconciliation_runs keeps it. */
export interface Run {
  readonly id: number;
  readonly reason: string;
  /** The last email that is done. */
  readonly position: string;
  readonly compared: number;
  readonly repaired: number;
  /** What the pass is to deal with. */
  readonly evidence: Observation;
}

export type Progress = Pick<Run, 'position' | 'compared' | 'repaired'>;

/** Passes of this database pair: one at a time, worked on by one process, taken over when it is gone. */
export class Runs {
  private readonly runner = randomUUID();

  constructor(private readonly db1: DataSource) {}

  /** Asks for a pass. @returns false when one is unfinished already. */
  async open(reason: string, evidence: Observation): Promise<boolean> {
    const rows = await this.db1.query<unknown[]>(
      'INSERT INTO reconciliation_runs (reason, evidence) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id',
      [reason, evidence],
    );
    return rows.length > 0;
  }

  /** The unfinished pass, when nobody else works on it. */
  async claim(): Promise<Run | undefined> {
    const [rows] = await this.db1.query<[Run[]]>(
      `UPDATE reconciliation_runs SET runner = $1, lease_until = clock_timestamp() + interval '${LEASE_S} s'
       WHERE finished_at IS NULL AND (runner IS NULL OR runner = $1 OR lease_until < clock_timestamp())
       RETURNING id, reason, position, compared, repaired, evidence`,
      [this.runner],
    );
    return rows[0];
  }

  /** Renews the lease and notes how far the pass is. @throws Error when another process has taken it over. */
  async renew({ id }: Run, { position, compared, repaired }: Progress): Promise<void> {
    const [, count] = await this.db1.query<[unknown, number]>(
      `UPDATE reconciliation_runs SET lease_until = clock_timestamp() + interval '${LEASE_S} s', position = $3, compared = $4, repaired = $5
       WHERE id = $1 AND runner = $2 AND finished_at IS NULL`,
      [id, this.runner, position, compared, repaired],
    );
    if (count === 0) throw new Error('Another process has taken the pass over');
  }

  /** The process stops: the next one need not wait for the lease. */
  async giveBack(): Promise<void> {
    await this.db1.query('UPDATE reconciliation_runs SET runner = NULL WHERE runner = $1 AND finished_at IS NULL', [this.runner]);
  }

  async finish({ id }: Run): Promise<void> {
    await this.db1.query('UPDATE reconciliation_runs SET finished_at = clock_timestamp() WHERE id = $1', [id]);
  }
}
