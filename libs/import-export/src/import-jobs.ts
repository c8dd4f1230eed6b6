import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type Act, type Initiator, recordedAs } from '#audit';
import { sleep, TIMINGS, type Timings } from '#config';
import { type Database, DB1 } from '#postgres';
import type { ImportView } from './import-export.dto.js';
import type { LineError } from './import-lines.js';

/** The progress of a job. Counts are lines. */
export interface Progress {
  lines: number;
  created: number;
  updated: number;
  unchanged: number;
  superseded: number;
  refused: number;
  errors: LineError[];
}

/** Maximum number of errors that a job shows. All errors are counted, and one more is kept, which tells that there are more. */
export const SHOWN_ERRORS = 1_000;

/** Retention of jobs. */
const RETENTION = '30 days';

/** $2: time (ms) without progress reports after which a running job counts as interrupted, because its process has ended. */
const READ_JOB = `
SELECT id, CASE WHEN state = 'running' AND changed_at < clock_timestamp() - $2 * interval '1 ms' THEN 'interrupted' ELSE state END AS state,
  dry_run, lines, created, updated, unchanged, superseded, refused, errors - ${SHOWN_ERRORS} AS errors,
  jsonb_array_length(errors) > ${SHOWN_ERRORS} AS has_more_errors, error, to_json(started_at) #>> '{}' AS started_at,
  to_json(changed_at) #>> '{}' AS changed_at, to_json(finished_at) #>> '{}' AS finished_at
FROM subscription_sync.imports WHERE id = $1`;

/** Stores the progress $2 of the job $1; any state $3 other than `running` ends the job. */
const SAVE_JOB = `
UPDATE subscription_sync.imports SET lines = p.lines, created = p.created, updated = p.updated, unchanged = p.unchanged, superseded = p.superseded,
  refused = p.refused, errors = p.errors, state = $3, error = $4, changed_at = clock_timestamp(),
  finished_at = CASE WHEN $3 <> 'running' THEN clock_timestamp() END
FROM jsonb_populate_record(NULL::subscription_sync.imports, $2) p WHERE imports.id = $1`;

/** The table `subscription_sync.imports` of DB1. The beginning and the end of a job are recorded in the audit log by the same statements. */
@Injectable()
export class ImportJobs {
  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  /** Creates a job with this id, or with a new one. Returns its id. Fails with 409 when the id is taken. */
  async begin(id: string | undefined, dryRun: boolean, by: Initiator): Promise<string> {
    const act: Act = { ...by, action: 'import.begin', details: { dry_run: dryRun } };
    const rows = await this.db1.query<{ id: string }>(
      `WITH old AS (DELETE FROM subscription_sync.imports WHERE started_at < now() - interval '${RETENTION}'),
       begun AS (
         INSERT INTO subscription_sync.imports (id, dry_run) VALUES (coalesce($1, gen_random_uuid()), $2) ON CONFLICT DO NOTHING RETURNING id),
       ${recordedAs(3, 'begun', 'begun.id::text')}
       SELECT id FROM begun`,
      [id ?? null, dryRun, act],
    );
    if (!rows[0]) {
      throw new ConflictException({ message: 'An import with this id exists', errors: [{ field: 'id', detail: 'is taken' }] });
    }
    return rows[0].id;
  }

  /** Saves the progress of a running job. */
  async save(id: string, progress: Progress): Promise<void> {
    await this.db1.query(SAVE_JOB, [id, progress, 'running', null]);
  }

  /** Saves the final progress and ends the job. */
  async end(id: string, progress: Progress, state: 'finished' | 'failed', by: Initiator, error?: string): Promise<void> {
    const { errors: _, ...counts } = progress;
    const act: Act = { ...by, action: 'import.end', details: { state, ...counts } };
    await this.db1.query(
      `WITH ended AS (${SAVE_JOB} RETURNING imports.id::text AS job), ${recordedAs(5, 'ended', 'ended.job')} SELECT FROM ended`,
      [id, progress, state, error ?? null, act],
    );
  }

  /** Fails with 404. */
  async get(id: string): Promise<ImportView> {
    const [job] = await this.db1.query<ImportView>(READ_JOB, [id, this.timings.importExport.progressTimeoutMs]);
    if (!job) throw new NotFoundException('No import with this id');
    return job;
  }
}

/** An import's job. Fails with 404. */
export class GetImportQuery extends Query<ImportView> {
  constructor(readonly id: string) {
    super();
  }
}

@QueryHandler(GetImportQuery)
export class GetImportHandler implements IQueryHandler<GetImportQuery> {
  constructor(private readonly jobs: ImportJobs) {}

  execute({ id }: GetImportQuery): Promise<ImportView> {
    return this.jobs.get(id);
  }
}

/** The pieces of a streamed answer, read until `signal` aborts. */
export type StreamPieces = (signal: AbortSignal) => AsyncGenerator<string, void, void>;

/**
 * The progress of a job as Server-Sent Events, from `first` on: each event is the whole job, without its errors until it ends. The stream
 * ends with the job, which may run in another process.
 */
export class FollowImportQuery extends Query<StreamPieces> {
  constructor(readonly first: ImportView) {
    super();
  }
}

@QueryHandler(FollowImportQuery)
export class FollowImportHandler implements IQueryHandler<FollowImportQuery> {
  constructor(
    private readonly jobs: ImportJobs,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  async execute({ first }: FollowImportQuery): Promise<StreamPieces> {
    return (signal) => this.stream(first, signal);
  }

  private async *stream(first: ImportView, signal: AbortSignal): AsyncGenerator<string, void, void> {
    const { followPollMs, heartbeatMs } = this.timings.importExport;
    let job = first;
    let sentAt = performance.now();
    yield `retry: 1000\n\n${frame(job)}`;
    while (job.state === 'running') {
      await sleep(followPollMs, signal);
      if (signal.aborted) return;
      const latest = await this.jobs.get(job.id).catch(() => undefined);
      if (latest && hasProgressed(job, latest)) yield frame(latest);
      else if (performance.now() - sentAt < heartbeatMs) continue;
      else yield ': alive\n\n';
      sentAt = performance.now();
      job = latest ?? job;
    }
  }
}

function hasProgressed(before: ImportView, after: ImportView): boolean {
  const total = ({ lines, created, updated }: ImportView): number => lines + created + updated;
  return after.state !== before.state || total(after) !== total(before);
}

function frame({ errors, ...job }: ImportView): string {
  return `data: ${JSON.stringify(job.state === 'running' ? job : { ...job, errors })}\n\n`;
}
