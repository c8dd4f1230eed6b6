import type { Readable } from 'node:stream';
import { isNativeError } from 'node:util/types';
import { HttpException, Inject, Injectable, ServiceUnavailableException } from '@nestjs/common';
import { ProblemException } from '#http';
import { type Database, DB1 } from '#postgres';
import { type ImportContext, writeLines, ImportBatcher } from './import-batcher.js';
import { ImportJobs, type Progress } from './import-jobs.js';
import { csvLines, type ImportRow, type LineError, ndjsonLines, type ParsedLine, UnreadableFileError } from './import-lines.js';

/** Errors that a job keeps; all are counted. */
const ERRORS_KEPT = 1_000;
/** Files that are read at once: each holds one of the pool's connections most of the time. */
const MAX_RUNNING_IMPORTS = 3;
const SAVE_EVERY_MS = 500;
/** So long a file may stand still, ms. */
const STALLED_MS = 60_000;
/** So long a stop waits for the next piece of a file, to tell its sender, ms. */
const STOP_WITHIN_MS = 1_000;

export const FORMATS = { 'application/x-ndjson': ndjsonLines, 'text/csv': csvLines } as const;
export type ImportFormat = keyof typeof FORMATS;

/** Reads a file line by line and writes it to DB1. */
@Injectable()
export class RunImport {
  private readonly stopping = new AbortController();
  private running = 0;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly jobs: ImportJobs,
  ) {}

  /** Ends what runs after the statement in hand. */
  async stop(): Promise<void> {
    this.stopping.abort(new ServiceUnavailableException('The service stops. Send the file again: what is done already does no harm'));
  }

  /**
   * @returns the id of the job, which is finished then. What was written stays when the file ends early, can't be read any further
   * (422), the database goes away or the process stops: sending the file again does no harm.
   */
  async run(
    file: Readable,
    format: ImportFormat,
    options: { id: string | undefined; dryRun: boolean; context: ImportContext },
  ): Promise<string> {
    if (this.running >= MAX_RUNNING_IMPORTS || this.stopping.signal.aborted) {
      throw new ServiceUnavailableException(`${this.running} imports run in this process, as many as may. Try again later`);
    }
    this.running += 1;
    const id = await this.jobs.begin(options.id, options.dryRun).catch((error: unknown) => {
      this.running -= 1;
      throw error;
    });
    const progress: Progress = { lines: 0, created: 0, updated: 0, unchanged: 0, superseded: 0, refused: 0, errors: [] };
    const tending = this.tend(id, progress, file);
    try {
      await this.read(FORMATS[format](chunksOf(file, this.stopping.signal)), progress, options);
      await tending.end();
      progress.errors.sort((a, b) => a.line - b.line);
      await this.jobs.save(id, progress, 'finished');
      return id;
    } catch (error) {
      // Whoever still sends it would not listen to the answer.
      file.resume();
      await tending.end();
      await this.jobs.save(id, progress, 'failed', whyFailed(error)).catch(() => undefined);
      throw toHttp(error, id, progress);
    } finally {
      this.running -= 1;
    }
  }

  /** Reads on while statements are under way. What was read before the file ends early is written, too. */
  private async read(
    parsed: AsyncIterable<ParsedLine[]>,
    progress: Progress,
    options: { dryRun: boolean; context: ImportContext },
  ): Promise<void> {
    const writes = new ImportBatcher((rows) => this.write(rows, progress, options));
    try {
      for await (const lines of parsed) {
        for (const line of lines) {
          progress.lines += 1;
          if (isRow(line)) {
            if (writes.add(line)) progress.superseded += 1;
            if (writes.full) await writes.begin();
          } else {
            progress.refused += 1;
            keep(progress, line);
          }
        }
      }
    } finally {
      await writes.end();
    }
  }

  private async write(
    rows: readonly ImportRow[],
    progress: Progress,
    { dryRun, context }: { dryRun: boolean; context: ImportContext },
  ): Promise<void> {
    const { created, updated, refused } = await writeLines(this.db1, rows, context, dryRun);
    progress.created += created;
    progress.updated += updated;
    progress.refused += refused.length;
    progress.unchanged += rows.length - created - updated - refused.length;
    keep(progress, refused);
  }

  /** Saves the progress for those who follow it, and gives a file up that stands still. */
  private tend(id: string, progress: Progress, file: Readable): { end: () => Promise<void> } {
    let saving: Promise<void> | undefined;
    let [lines, since] = [0, performance.now()];
    const timer = setInterval(() => {
      if (progress.lines !== lines) [lines, since] = [progress.lines, performance.now()];
      else if (performance.now() - since > STALLED_MS) file.destroy(new UnreadableFileError(`Nothing came for ${STALLED_MS / 1_000} s`));
      saving ??= this.jobs
        .save(id, progress, 'running')
        .catch(() => undefined)
        .finally(() => (saving = undefined));
    }, SAVE_EVERY_MS);
    return {
      end: async () => {
        clearInterval(timer);
        await saving;
      },
    };
  }
}

/** The file stays open when it is read no further: with it, the connection would be closed before the answer. */
async function* chunksOf(file: Readable, stopping: AbortSignal): AsyncGenerator<Buffer, void, void> {
  let timer: NodeJS.Timeout | undefined;
  const endSoon = (): void => void (timer = setTimeout(() => file.destroy(stopping.reason as Error), STOP_WITHIN_MS));
  stopping.addEventListener('abort', endSoon);
  try {
    for await (const chunk of file.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      stopping.throwIfAborted();
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
    stopping.removeEventListener('abort', endSoon);
  }
}

function isRow(line: ParsedLine): line is ImportRow {
  return !Array.isArray(line);
}

function keep(progress: Progress, errors: readonly LineError[]): void {
  progress.errors.push(...errors.slice(0, Math.max(0, ERRORS_KEPT - progress.errors.length)));
}

function whyFailed(error: unknown): string {
  if (error instanceof UnreadableFileError) return error.message;
  const gone = isNativeError(error) && 'code' in error && ['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'].includes(String(error.code));
  return gone
    ? 'The connection ended before the file did'
    : 'It was interrupted: by the end of the process, or of its connection to the database';
}

function toHttp(error: unknown, id: string, { lines }: Progress): unknown {
  if (error instanceof HttpException) return error;
  if (error instanceof UnreadableFileError) {
    return new ProblemException('unreadable-file', `${error.message}. What was read before it, ${lines} lines, is done (import ${id})`, {
      import: id,
    });
  }
  return error;
}
