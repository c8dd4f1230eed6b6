/** Longest that a request waits, s. */
const LONGEST_WAIT_S = 30;

/**
 * Seconds of `Prefer: wait=5` (RFC 7240), at most {@link LONGEST_WAIT_S}. Undefined when it is not asked for, or not understood: a
 * preference is never an error.
 */
export function preferredWait(header: string | string[] | undefined): number | undefined {
  const preferences = [header ?? []].flat().flatMap((line) => line.split(','));
  for (const preference of preferences) {
    const match = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|$)/i.exec(preference);
    if (match) return Math.min(Number(match[1]), LONGEST_WAIT_S);
  }
  return undefined;
}
