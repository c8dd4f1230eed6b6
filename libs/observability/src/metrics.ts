/**
 * Wraps `load` so that callers share the result of a call that is in progress ("single flight"). Used by metrics that are read together: a
 * scrape collects all of them at once, and a metric that set another one's value would be one scrape late.
 */
export function coalesce<T>(load: () => Promise<T>): () => Promise<T> {
  let inFlight: Promise<T> | undefined;
  return () => (inFlight ??= load().finally(() => (inFlight = undefined)));
}
