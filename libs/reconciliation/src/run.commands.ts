import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { DatabaseSettings } from '#config';
import { type Database, DB1, db1ConnectionOptions, isUniqueViolation } from '#postgres';
import { ALL_ROWS, type Run, Runs, type RunRequest, UNDER_WAY } from './runs.js';

/** Pauses, resumes and ends runs. Whoever works on the run notices within seconds, at the end of the step in hand. */
@Injectable()
export class RunCommands {
  constructor(@Inject(DB1) private readonly db1: Pick<Database, 'query'>) {}

  /** The run keeps its place; beside it others may run. @throws NotFoundException, ConflictException when it has ended. */
  async pause(id: number): Promise<void> {
    await this.change(id, 'paused = true');
  }

  /** The run goes on where it was. @throws NotFoundException, ConflictException when it has ended, or another one is unfinished. */
  async resume(id: number): Promise<void> {
    try {
      await this.change(id, 'paused = false');
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new ConflictException('Another run is under way: wait for it, pause it or cancel it');
    }
  }

  /** What is repaired or published by then stays. On a paused run nobody works, so it ends here. */
  async cancel(id: number): Promise<void> {
    const nobodyWorks = 'paused AND (runner IS NULL OR lease_until < clock_timestamp())';
    await this.change(
      id,
      `cancel_requested = true, outcome = CASE WHEN ${nobodyWorks} THEN 'cancelled' END,
       finished_at = CASE WHEN ${nobodyWorks} THEN clock_timestamp() END`,
    );
  }

  private async change(id: number, change: string): Promise<void> {
    const [found] = await this.db1.query<{ changed: boolean }>(
      `WITH changed AS (UPDATE reconciliation_runs SET ${change} WHERE id = $1 AND finished_at IS NULL RETURNING 1)
       SELECT EXISTS (SELECT FROM changed) AS changed FROM reconciliation_runs WHERE id = $1`,
      [id],
    );
    if (!found) throw new NotFoundException('No run with this id');
    if (!found.changed) throw new ConflictException('The run has ended already');
  }
}

export type RunState = Pick<Run, 'id' | 'compared' | 'differing' | 'repaired' | 'position'> & {
  readonly outcome: string | null;
  readonly paused: boolean;
};

/** Runs, for a command line: straight in DB1. A sync process that knows Database 2 works on them. */
export class RunDesk {
  private readonly db1: DataSource;
  readonly steering: RunCommands;

  constructor(settings: DatabaseSettings) {
    this.db1 = new DataSource(db1ConnectionOptions({ ...settings, poolSize: 1 }));
    this.steering = new RunCommands({ query: (sql, parameters) => this.db1.query(sql, parameters) });
  }

  async open(): Promise<void> {
    await this.db1.initialize();
  }

  async close(): Promise<void> {
    await this.db1.destroy();
  }

  /** @returns its id. @throws Error while one is unfinished and not paused. */
  async start(task: Partial<RunRequest>): Promise<number> {
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
