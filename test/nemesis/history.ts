import { createWriteStream, type WriteStream } from 'node:fs';
import { once } from 'node:events';

/** A change that an acknowledged write must have left in the change log. */
export type Effect =
  /** The row has this content at this version. */
  | { readonly kind: 'version'; readonly email: string; readonly version: number; readonly status: string; readonly plan: string | null }
  /** The row has this content. The operation may have changed nothing, because it had it before. */
  | { readonly kind: 'content'; readonly email: string; readonly status: string; readonly plan: string | null }
  /** The operation created a row with this content. */
  | { readonly kind: 'made'; readonly email: string; readonly status: string; readonly plan: string | null }
  | { readonly kind: 'deleted'; readonly email: string }
  /** The operation made this number of changes. */
  | { readonly kind: 'changes'; readonly count: number };

/** ok: acknowledged. fail: refused or rolled back, so without effect. info: unknown, as the connection was lost or the response was late. */
export type Outcome = 'ok' | 'fail' | 'info';

export interface Operation {
  /** The id in the log's rows: the reason of changes by SQL, the traceparent of changes by the API. */
  readonly id: string;
  readonly by: 'api' | 'sql';
  readonly what: string;
  readonly outcome: Outcome;
  /** Effects of an acknowledged operation. */
  readonly effects: readonly Effect[];
  /** The reason why the outcome is not `ok`. */
  readonly why?: string;
}

/** The history of a run: one JSON object a line, in order. `at` is the time (ms) since the start. */
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
