/**
 * `ask`, but who asks while an answer is under way gets that one. For metrics that are read together: a scrape collects all of
 * them at once, and one that set another's value would be a scrape late.
 */
export function coalesce<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => (answer ??= ask().finally(() => (answer = undefined)));
}
