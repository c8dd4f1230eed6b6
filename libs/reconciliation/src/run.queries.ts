import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { limitOf, pageById, type PageById } from '#http';
import { type Database, DB1, type Query as Sql, type SubscriptionTable } from '#postgres';
import type { DifferencePage, DifferenceView, ListDifferences, RunPage, RunView } from './reconciliation.dto.js';
import { type RunDatabase, runNotFound } from './run.commands.js';

/** The cursor before the first page: ids are below it. */
const NO_CURSOR = String(Number.MAX_SAFE_INTEGER);
const time = (column: string): string => `to_json(${column}) #>> '{}' AS ${column}`;
const RUN = `id, kind, reason, scope, after_email, until_email, position, repair, repair_limit, load, rate, paused, yielded, compared, in_flight, differing,
  repaired, outcome, ${time('started_at')}, ${time('finished_at')}`;
const DIFFERENCE = `id, run, email, cause, state, version_in_db1, version_in_db2, ${time('found_at')}, ${time('changed_at')}`;

/** Reads up to `count` runs with ids below `cursor`, the newest first. */
export function readRuns(db1: RunDatabase, count: number, cursor = NO_CURSOR): Promise<RunView[]> {
  return db1.query<RunView>(`SELECT ${RUN} FROM subscription_sync.reconciliation_runs WHERE id < $1 ORDER BY id DESC LIMIT $2`, [
    cursor,
    count,
  ]);
}

/** Reads a run. @throws NotFoundException */
export async function readRun(db1: RunDatabase, id: number): Promise<RunView> {
  const [run] = await db1.query<RunView>(`SELECT ${RUN} FROM subscription_sync.reconciliation_runs WHERE id = $1`, [id]);
  if (!run) throw runNotFound();
  return run;
}

/** Number of rows up to which rows are counted: it takes about a second. */
const MAX_COUNTED = 1_000_000;

/** Returns how many rows of DB1 have `after` < email <= `until` (null: to the end): exactly, or as the planner estimates it when there are many. */
export async function estimateRows(query: Sql, { sql, key }: SubscriptionTable, after: string, until: string | null): Promise<number> {
  const email = `s.${key}::text COLLATE "C"`;
  const rows = `FROM ${sql} s WHERE ${email} > $1 AND ($2::text IS NULL OR ${email} <= $2)`;
  const [explained] = await query<{ 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }>(`EXPLAIN (FORMAT JSON) SELECT ${rows}`, [
    after,
    until,
  ]);
  const estimate = explained!['QUERY PLAN'][0].Plan['Plan Rows'];
  if (estimate > MAX_COUNTED) return estimate;
  const [counted] = await query<{ rows: number }>(`SELECT count(*)::int AS rows ${rows}`, [after, until]);
  return counted!.rows;
}

/** Lists runs, the newest first. */
export class ListRunsQuery extends Query<RunPage> {
  constructor(readonly options: PageById) {
    super();
  }
}

@QueryHandler(ListRunsQuery)
export class ListRunsHandler implements IQueryHandler<ListRunsQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ options }: ListRunsQuery): Promise<RunPage> {
    const size = limitOf(options);
    return pageById(await readRuns(this.db1, size + 1, options.cursor), size);
  }
}

/** Reads one run. Fails with 404. */
export class GetRunQuery extends Query<RunView> {
  constructor(readonly id: number) {
    super();
  }
}

@QueryHandler(GetRunQuery)
export class GetRunHandler implements IQueryHandler<GetRunQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  execute({ id }: GetRunQuery): Promise<RunView> {
    return readRun(this.db1, id);
  }
}

/** Lists the differences that runs have found, the newest first. */
export class ListDifferencesQuery extends Query<DifferencePage> {
  constructor(readonly options: ListDifferences) {
    super();
  }
}

@QueryHandler(ListDifferencesQuery)
export class ListDifferencesHandler implements IQueryHandler<ListDifferencesQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ options }: ListDifferencesQuery): Promise<DifferencePage> {
    const { run, cause, state, cursor } = options;
    const size = limitOf(options);
    const rows = await this.db1.query<DifferenceView>(
      `SELECT ${DIFFERENCE} FROM subscription_sync.reconciliation_differences
       WHERE id < $1 AND ($2::bigint IS NULL OR run = $2) AND ($3::text IS NULL OR cause = $3) AND ($4::text IS NULL OR state = $4)
       ORDER BY id DESC LIMIT $5`,
      [cursor ?? NO_CURSOR, run ?? null, cause ?? null, state ?? null, size + 1],
    );
    return pageById(rows, size);
  }
}
