/** Who writes, and for which request: recorded with the change. */
export interface WriteContext {
  readonly actor: string;
  readonly origin: 'api';
  readonly traceparent: string | undefined;
}

/** W3C Trace Context, version 00. */
const TRACEPARENT = /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;

/** A malformed `traceparent` is ignored, as the standard asks. */
export function writeContext(actor: string, traceparent: string | undefined): WriteContext {
  return { actor, origin: 'api', traceparent: traceparent !== undefined && TRACEPARENT.test(traceparent) ? traceparent : undefined };
}

/** A row after a write or as read: its JSON text as the database printed it, and its version. */
export interface StoredSubscription {
  readonly version: number;
  readonly body: string;
}
