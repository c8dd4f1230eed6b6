import type { Readable } from 'node:stream';
import { isNativeError } from 'node:util/types';
import { Inject, ServiceUnavailableException, UnsupportedMediaTypeException } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { Initiator } from '#audit';
import { SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { CredentialEndedError, ProblemException } from '#http';
import { type Database, DB1 } from '#postgres';
import { AcceptedStatuses, shownFields } from '#subscriptions';
import { csvLines } from './csv-lines.js';
import { contentOf, type FileFormat, type SentFile } from './file-content.js';
import { ImportBatcher, type ImportContext, writeRows } from './import-batcher.js';
import { ImportJobs, type Progress, SHOWN_ERRORS } from './import-jobs.js';
import {
  importedFields,
  type ImportRow,
  type LineError,
  LineReader,
  lineRules,
  type ParsedLine,
  type Preview,
  UnreadableFileError,
} from './import-lines.js';
import { type GivenFileOptions, readFileOptions } from './import-options.js';
import { jsonItems, ndjsonLines } from './json-lines.js';

/** Maximum number of files that are read at once: each uses a connection of the pool most of the time. */
const MAX_RUNNING_IMPORTS = 3;

const PARSERS: Readonly<Record<FileFormat, (chunks: AsyncIterable<Buffer>, reader: LineReader) => AsyncIterable<ParsedLine[]>>> = {
  ndjson: ndjsonLines,
  json: jsonItems,
  csv: csvLines,
};

export interface ImportOptions {
  /** The id of the job; undefined for a new one. */
  readonly id: string | undefined;
  readonly dryRun: boolean;
  readonly file: GivenFileOptions;
  readonly context: ImportContext;
  readonly by: Initiator;
  /** Aborts with a CredentialEndedError when the caller's credential ends. */
  readonly credential: AbortSignal;
}

/** A finished import. */
export interface FinishedImport {
  readonly id: string;
  /** The preview of a dry run. It has values of the file, and is therefore not stored. */
  readonly preview: Preview | undefined;
}

/**
 * Imports a file line by line into DB1. Returns its job when it has finished. Lines that are written stay written when the file
 * ends early, cannot be read any further (422), the database goes away, the credential ends (401) or the process stops: sending the file
 * again does no harm.
 */
export class ImportSubscriptionsCommand extends Command<FinishedImport> {
  constructor(
    readonly file: SentFile,
    readonly options: ImportOptions,
  ) {
    super();
  }
}

@CommandHandler(ImportSubscriptionsCommand)
export class ImportSubscriptionsHandler implements ICommandHandler<ImportSubscriptionsCommand> {
  private readonly stopping = new AbortController();
  private running = 0;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly jobs: ImportJobs,
    @Inject(TIMINGS) private readonly timings: Timings,
    @Inject(SETTINGS) private readonly settings: Settings,
    private readonly statuses: AcceptedStatuses,
  ) {}

  /** Ends the running imports after their current statements. */
  async stop(): Promise<void> {
    this.stopping.abort(
      new ServiceUnavailableException('The service is stopping. Send the file again: lines that are done already do no harm'),
    );
  }

  async execute({ file, options }: ImportSubscriptionsCommand): Promise<FinishedImport> {
    this.stopping.signal.throwIfAborted();
    options.credential.throwIfAborted();
    if (this.running >= MAX_RUNNING_IMPORTS) {
      throw new ServiceUnavailableException(
        `This process already runs ${MAX_RUNNING_IMPORTS} imports, which is the maximum. Try again later`,
      );
    }
    this.running += 1;
    try {
      const { table } = this.db1;
      const statuses = this.statuses.list;
      const fileOptions = readFileOptions(options.file, importedFields(table), statuses);
      const rules = lineRules(table, statuses, shownFields(table, this.settings), fileOptions);
      const preview: Preview | undefined = options.dryRun ? { delimiter: null, columns: [], lines: [] } : undefined;
      const id = await this.jobs.begin(options.id, options.dryRun, options.by);
      await this.runJob(id, file, new LineReader(rules, fileOptions, preview), options);
      return { id, preview: preview?.columns.length === 0 ? undefined : preview };
    } finally {
      this.running -= 1;
    }
  }

  private async runJob(id: string, file: SentFile, reader: LineReader, options: ImportOptions): Promise<void> {
    const { stream } = file;
    const progress: Progress = { lines: 0, created: 0, updated: 0, unchanged: 0, superseded: 0, refused: 0, errors: [] };
    const reporting = this.reportProgress(id, progress, stream);
    const end = AbortSignal.any([this.stopping.signal, options.credential]);
    const chunks = chunksOf(stream, end);
    try {
      await this.read(linesOf(file, chunks, reader), progress, options, end);
      await reporting.end();
      progress.errors.sort((a, b) => a.line - b.line);
      await this.jobs.end(id, progress, 'finished', options.by);
    } catch (error) {
      // A client that is still sending does not read the answer.
      stream.resume();
      await reporting.end();
      await this.jobs.end(id, progress, 'failed', options.by, describeFailure(error)).catch(() => undefined);
      throw toHttpError(error, id, progress);
    } finally {
      // A file that was refused at its beginning was never read from.
      void chunks.return();
    }
  }

  /** Reads on while statements run. Lines that were read before a file ends early are written, too. */
  private async read(parsed: AsyncIterable<ParsedLine[]>, progress: Progress, options: ImportOptions, end: AbortSignal): Promise<void> {
    const batcher = new ImportBatcher((rows) => this.write(rows, progress, options));
    try {
      for await (const lines of parsed) {
        // A small piece of a compressed file may have many lines.
        end.throwIfAborted();
        for (const line of lines) {
          progress.lines += 1;
          if (isRow(line)) {
            if (batcher.add(line)) progress.superseded += 1;
            if (batcher.full) await batcher.flush();
          } else {
            progress.refused += 1;
            addErrors(progress, line);
          }
        }
      }
    } finally {
      await batcher.end();
    }
  }

  private async write(rows: readonly ImportRow[], progress: Progress, { dryRun, context }: ImportOptions): Promise<void> {
    const { created, updated, refused } = await writeRows(this.db1, rows, { context, dryRun, transitions: this.statuses.transitions });
    progress.created += created;
    progress.updated += updated;
    progress.refused += refused.length;
    progress.unchanged += rows.length - created - updated - refused.length;
    addErrors(progress, refused);
  }

  /** Saves the progress periodically for followers, and gives up a file that sends nothing for too long. */
  private reportProgress(id: string, progress: Progress, file: Readable): { end: () => Promise<void> } {
    const { saveIntervalMs, stalledFileTimeoutMs } = this.timings.importExport;
    let saving: Promise<void> | undefined;
    let [lines, changedAt] = [0, performance.now()];
    const timer = setInterval(() => {
      if (progress.lines !== lines) [lines, changedAt] = [progress.lines, performance.now()];
      else if (performance.now() - changedAt > stalledFileTimeoutMs) {
        file.destroy(new UnreadableFileError(`The file sent nothing for ${stalledFileTimeoutMs / 1_000} s`));
      }
      saving ??= this.jobs
        .save(id, progress)
        .catch(() => undefined)
        .finally(() => (saving = undefined));
    }, saveIntervalMs);
    return {
      end: async () => {
        clearInterval(timer);
        await saving;
      },
    };
  }
}

/**
 * Reads a file until `end` aborts, also while its sender pauses. The file stays open when it is not read to its end: closing it would close
 * the connection before the answer.
 */
async function* chunksOf(file: Readable, end: AbortSignal): AsyncGenerator<Buffer, void, void> {
  const chunks = file.iterator({ destroyOnReturn: false }) as AsyncGenerator<Buffer, void, void>;
  try {
    for (;;) {
      end.throwIfAborted();
      const next = await unlessAborted(chunks.next(), end);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // A piece that is awaited is the last one that the iterator reads; the rest is discarded.
    void chunks.return().then(
      () => file.resume(),
      () => undefined,
    );
  }
}

/** Rejects with the reason of `signal` when it aborts first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

async function* linesOf(file: SentFile, chunks: AsyncIterable<Buffer>, reader: LineReader): AsyncGenerator<ParsedLine[], void, void> {
  const content = await contentOf(file, chunks);
  yield* PARSERS[content.format](content.chunks, reader);
}

function isRow(line: ParsedLine): line is ImportRow {
  return !Array.isArray(line);
}

function addErrors(progress: Progress, errors: readonly LineError[]): void {
  progress.errors.push(...errors.slice(0, Math.max(0, SHOWN_ERRORS + 1 - progress.errors.length)));
}

/** Returns the text that is stored with a failed job. */
function describeFailure(error: unknown): string {
  if (error instanceof UnreadableFileError || error instanceof UnsupportedMediaTypeException) return error.message;
  if (error instanceof CredentialEndedError) return `The credential of the import ended: ${error.message}. The lines counted here are done`;
  const disconnected = isNativeError(error) && 'code' in error && ['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'].includes(String(error.code));
  return disconnected
    ? 'The connection ended before the file did'
    : 'The import was interrupted: the process or its connection to the database ended';
}

function toHttpError(error: unknown, id: string, { lines }: Progress): unknown {
  if (error instanceof CredentialEndedError) {
    const detail = `The import ended with its credential: ${error.message}. Lines done before that: ${lines} (import ${id})`;
    return new ProblemException(error.kind, detail, { import: id }, error.headers);
  }
  if (!(error instanceof UnreadableFileError)) return error;
  const detail = `${error.message}. Lines done before the error: ${lines} (import ${id})`;
  return new ProblemException('unreadable-file', detail, { import: id });
}
