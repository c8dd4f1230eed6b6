import type { IncomingHttpHeaders } from 'node:http';

/**
 * Makes the spans of the service. There is no provider for it while tracing is off, so every user injects it as optional and does nothing
 * without it (ADR 37). Neither names nor attributes contain emails.
 */
export abstract class Tracing {
  /** Starts the span of an HTTP request, as a child of the request's `traceparent`. */
  abstract startRequest(method: string, headers: IncomingHttpHeaders): RequestSpan;

  /** Starts the spans of a batch that is sent to a topic. Returns undefined if no trace of its records is sampled. */
  abstract startSending(topic: string, records: readonly TracedRecord[]): BatchSpans | undefined;

  /** Starts the spans of a batch that is applied. Returns undefined if no trace of its records is sampled. */
  abstract startApplying(batch: ReceivedBatch, records: readonly TracedRecord[]): BatchSpans | undefined;

  /** Exports the spans that wait. Resolves when they are exported, and after `timeoutMs` in any case. */
  abstract shutDown(timeoutMs: number): Promise<void>;
}

/** A record, and the trace to which it belongs: that of its change, or that of the span which sent it. */
export interface TracedRecord {
  readonly traceparent?: string | null | undefined;
  readonly version?: number;
}

/** Records of a partition that are applied together. */
export interface ReceivedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly groupId: string;
}

export interface RequestSpan {
  /** The span's context, to be recorded with the changes that the request makes. Undefined if the trace is not sampled. */
  readonly traceparent: string | undefined;
  /** Members of the request's line in the log. Empty if the trace is not sampled. */
  readonly logged: { readonly trace_id?: string; readonly span_id?: string };
  /** Ends the span. `route` is the pattern of the route, undefined for a request without one. */
  end(route: string | undefined, status: number): void;
}

/**
 * Spans of a batch: one for each trace in it and not one for each record, because the rows of one import or SQL transaction belong to one
 * trace. Traces that are not sampled have none.
 */
export interface BatchSpans {
  /** Returns the context of the span for the records of a trace, to be sent with them. */
  contextOf(traceparent: string | null | undefined): string | undefined;
  /** Marks the span for the records of a trace as failed. @param type a code or the name of a class, never a message: messages quote values. */
  fail(traceparent: string | null | undefined, type: string): void;
  /** Marks all spans as failed. */
  failAll(error: unknown): void;
  end(): void;
}
