import { DataSource } from 'typeorm';
import type { DatabaseSettings } from '#config';
import { db1ConnectionOptions } from '#postgres';
import { ALL_ROWS, type Run, Runs, type Task, UNDER_WAY } from './runs.js';
import { Steering } from './steering.js';

export type RunState = Pick<Run, 'id' | 'compared' | 'differing' | 'repaired' | 'position'> & {
  readonly outcome: string | null;
  readonly paused: boolean;
};

/** Runs, for a command line: straight in DB1. A sync process that knows Database 2 works on them. */
export class RunDesk {
  private readonly db1: DataSource;
  readonly steering: Steering;

  constructor(settings: DatabaseSettings) {
    this.db1 = new DataSource(db1ConnectionOptions({ ...settings, poolSize: 1 }));
    this.steering = new Steering({ query: (sql, parameters) => this.db1.query(sql, parameters) });
  }

  async open(): Promise<void> {
    await this.db1.initialize();
  }

  async close(): Promise<void> {
    await this.db1.destroy();
  }

  /** @returns its id. @throws Error while one is unfinished and not paused. */
  async start(task: Partial<Task>): Promise<number> {
    const id = await new Runs(this.db1).open({ ...ALL_ROWS, ...task });
    if (id === undefined) throw new Error(UNDER_WAY);
    return id;
  }

  /** The run of that id, or the newest ones. */
  async look(id?: number): Promise<RunState[]> {
    return this.db1.query<RunState[]>(
      `SELECT id, compared, differing, repaired, position, outcome, paused FROM reconciliation_runs
       WHERE $1::bigint IS NULL OR id = $1 ORDER BY id DESC LIMIT 20`,
      [id ?? null],
    );
  }
}
