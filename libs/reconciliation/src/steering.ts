import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import { type Database, DB1 } from '#postgres';

/** Pauses, resumes and ends runs. Whoever works on the run notices within seconds, at the end of the step in hand. */
@Injectable()
export class Steering {
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

function isUniqueViolation(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '23505';
}
