/** An item that was refused by itself, and why. */
export interface Refused<T, Reason> {
  readonly item: T;
  readonly reason: Reason;
}

/**
 * Finds the items that make a batch fail: tries the whole batch and, where it is refused, each half of it, in order, until the refused
 * items are alone. All others are taken. `attempt` handles a part as a whole or not at all, and resolves with the reason when the part
 * is refused. An error that says nothing about the items is thrown by `attempt`, and ends the search.
 */
export async function isolateRefused<T, Reason>(
  items: readonly T[],
  attempt: (part: readonly T[]) => Promise<Reason | undefined>,
): Promise<Refused<T, Reason>[]> {
  const reason = await attempt(items);
  if (reason === undefined) return [];
  if (items.length < 2) return items.map((item) => ({ item, reason }));
  const middle = items.length >> 1;
  const first = await isolateRefused(items.slice(0, middle), attempt);
  return [...first, ...(await isolateRefused(items.slice(middle), attempt))];
}
