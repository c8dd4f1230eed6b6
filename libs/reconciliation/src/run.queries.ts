import { Inject, Injectable, NotFoundException } from '@nestjs/common';
import { limitOf, pageById, type PageById } from '#http';
import { type Database, DB1 } from '#postgres';
import type { DifferencePage, DifferenceView, ListDifferences, RunPage, RunView } from './reconciliation.dto.js';
import { LISTED, reportPage, type Tally } from './report-page.js';

const NO_CURSOR = String(Number.MAX_SAFE_INTEGER);
const time = (column: string): string => `to_json(${column}) #>> '{}' AS ${column}`;
const RUN = `id, kind, reason, scope, after_email, until_email, position, repair, repair_limit, load, rate, paused, compared, in_flight, differing,
  repaired, outcome, ${time('started_at')}, ${time('finished_at')}`;
const DIFFERENCE = `id, run, email, cause, state, version_in_db1, version_in_db2, ${time('found_at')}, ${time('changed_at')}`;

/** What passes did and found, the newest first. */
@Injectable()
export class RunQueries {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async runs(options: PageById): Promise<RunPage> {
    const size = limitOf(options);
    const rows = await this.db1.query<RunView>(`SELECT ${RUN} FROM reconciliation_runs WHERE id < $1 ORDER BY id DESC LIMIT $2`, [
      options.cursor ?? NO_CURSOR,
      size + 1,
    ]);
    return pageById(rows, size);
  }

  /** @throws NotFoundException */
  async run(id: number): Promise<RunView> {
    const [row] = await this.db1.query<RunView>(`SELECT ${RUN} FROM reconciliation_runs WHERE id = $1`, [id]);
    if (!row) throw new NotFoundException('No run with this id');
    return row;
  }

  /** @returns HTML. @throws NotFoundException */
  async page(id: number): Promise<string> {
    const run = await this.run(id);
    const tallies = await this.db1.query<Tally>(
      'SELECT cause, state, count(*)::int AS count FROM reconciliation_differences WHERE run = $1 GROUP BY cause, state ORDER BY count DESC, cause, state',
      [id],
    );
    const { data } = await this.differences({ run: String(id), limit: String(LISTED) });
    return reportPage(run, tallies, data);
  }

  async differences(options: ListDifferences): Promise<DifferencePage> {
    const { run, cause, state, cursor } = options;
    const size = limitOf(options);
    const rows = await this.db1.query<DifferenceView>(
      `SELECT ${DIFFERENCE} FROM reconciliation_differences
       WHERE id < $1 AND ($2::bigint IS NULL OR run = $2) AND ($3::text IS NULL OR cause = $3) AND ($4::text IS NULL OR state = $4)
       ORDER BY id DESC LIMIT $5`,
      [cursor ?? NO_CURSOR, run ?? null, cause ?? null, state ?? null, size + 1],
    );
    return pageById(rows, size);
  }
}
