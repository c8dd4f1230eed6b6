import { createWriteStream, type WriteStream } from 'node:fs';
import { once } from 'node:events';

/** What an acknowledged write says about the change log. */
export type Effect =
  /** This version of the row has this content. */
  | { readonly kind: 'version'; readonly email: string; readonly version: number; readonly status: string; readonly plan: string | null }
  /** The operation made a row with this content. Its version is not known: what RETURNING shows of an INSERT may be the first draw (ADR 2). */
  | { readonly kind: 'made'; readonly email: string; readonly status: string; readonly plan: string | null }
  | { readonly kind: 'deleted'; readonly email: string }
  /** The operation made so many changes. */
  | { readonly kind: 'changes'; readonly count: number };

/** ok: acknowledged. fail: refused or rolled back, so it has not happened. info: nobody knows, the connection was lost or the answer late. */
export type Outcome = 'ok' | 'fail' | 'info';

export interface Operation {
  /** Stands in the log's rows: as the reason of what SQL wrote, as the traceparent of what the API wrote. */
  readonly id: string;
  readonly by: 'api' | 'sql';
  readonly what: string;
  readonly outcome: Outcome;
  /** Of an acknowledged operation. */
  readonly effects: readonly Effect[];
  /** Why it is no `ok`. */
  readonly why?: string;
}

/** What happened in a run, in order: one JSON object a line. `at` is ms since its start. */
export class History {
  readonly operations: Operation[] = [];
  private readonly started = performance.now();
  private readonly stream: WriteStream;

  constructor(readonly file: string) {
    this.stream = createWriteStream(file);
  }

  operation(operation: Operation): void {
    this.operations.push(operation);
    this.write({ type: 'operation', ...operation });
  }

  note(type: string, details: Readonly<Record<string, unknown>>): void {
    this.write({ type, ...details });
  }

  async close(): Promise<void> {
    this.stream.end();
    await once(this.stream, 'close');
  }

  private write(line: object): void {
    this.stream.write(`${JSON.stringify({ at: Math.round(performance.now() - this.started), ...line })}\n`);
  }
}
