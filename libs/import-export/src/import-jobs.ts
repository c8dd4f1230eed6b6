import { setTimeout as delay } from 'node:timers/promises';
import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import { type Database, DB1 } from '#postgres';
import type { ImportView } from './import-export.dto.js';
import type { LineError } from './import-lines.js';

/** What a job has done so far. Counts are lines. */
export interface Progress {
  lines: number;
  created: number;
  updated: number;
  unchanged: number;
  superseded: number;
  refused: number;
  errors: LineError[];
}

/** Jobs are kept so long. A job whose process is not heard of for so long was interrupted. */
const KEPT = '30 days';
const SILENCE = '30 seconds';

const VIEW = `
id, CASE WHEN state = 'running' AND changed_at < clock_timestamp() - interval '${SILENCE}' THEN 'interrupted' ELSE state END AS state, dry_run,
  lines, created, updated, unchanged, superseded, refused, errors, error, to_json(started_at) #>> '{}' AS started_at,
  to_json(changed_at) #>> '{}' AS changed_at, to_json(finished_at) #>> '{}' AS finished_at`;

/** DB1.imports. */
@Injectable()
export class ImportJobs {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  /** @returns the job's id: `id`, or one of its own. Fails with 409 when the id is taken. */
  async begin(id: string | undefined, dryRun: boolean): Promise<string> {
    const rows = await this.db1.query<{ id: string }>(
      `WITH old AS (DELETE FROM imports WHERE started_at < now() - interval '${KEPT}')
       INSERT INTO imports (id, dry_run) VALUES (coalesce($1, gen_random_uuid()), $2) ON CONFLICT DO NOTHING RETURNING id`,
      [id ?? null, dryRun],
    );
    if (!rows[0]) {
      throw new ConflictException({ message: 'There is an import with this id', errors: [{ field: 'id', detail: 'is taken' }] });
    }
    return rows[0].id;
  }

  /** `state` other than `running`: it ends. */
  async save(id: string, progress: Progress, state: 'running' | 'finished' | 'failed', error?: string): Promise<void> {
    await this.db1.query(
      `UPDATE imports SET lines = p.lines, created = p.created, updated = p.updated, unchanged = p.unchanged, superseded = p.superseded,
         refused = p.refused, errors = p.errors, state = $3, error = $4, changed_at = clock_timestamp(),
         finished_at = CASE WHEN $3 <> 'running' THEN clock_timestamp() END
       FROM jsonb_populate_record(NULL::imports, $2) p WHERE imports.id = $1`,
      [id, progress, state, error ?? null],
    );
  }

  /** Fails with 404. */
  async get(id: string): Promise<ImportView> {
    const [job] = await this.db1.query<ImportView>(`SELECT ${VIEW} FROM imports WHERE id = $1`, [id]);
    if (!job) throw new NotFoundException('No import with this id');
    return job;
  }
}

const POLL_INTERVAL_MS = 500;
const HEARTBEAT_MS = 15_000;

/** The progress of a job as Server-Sent Events: the whole job each time, without its errors until it ends. */
@Injectable()
export class FollowImport {
  constructor(private readonly jobs: ImportJobs) {}

  /** From `first` on; ends when the job has, or when `signal` aborts. The job may run in another process. */
  async *stream(first: ImportView, signal: AbortSignal): AsyncGenerator<string, void, void> {
    let job = first;
    let toldAt = performance.now();
    yield `retry: 1000\n\n${frame(job)}`;
    while (job.state === 'running') {
      await delay(POLL_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const now = await this.jobs.get(job.id).catch(() => undefined);
      if (now && (now.state !== job.state || now.lines + now.created + now.updated !== job.lines + job.created + job.updated))
        yield frame(now);
      else if (performance.now() - toldAt < HEARTBEAT_MS) continue;
      else yield ': alive\n\n';
      toldAt = performance.now();
      job = now ?? job;
    }
  }
}

function frame({ errors, ...job }: ImportView): string {
  return `data: ${JSON.stringify(job.state === 'running' ? job : { ...job, errors })}\n\n`;
}
