import type { ReceivedEvent } from '#events';

/** The event of the highest version for each email: an upsert may name a row once, and the older ones would be overwritten anyway. */
export function newestPerEmail(events: Iterable<ReceivedEvent>): ReceivedEvent[] {
  const newest = new Map<string, ReceivedEvent>();
  for (const event of events) {
    const known = newest.get(event.email);
    if (!known || known.version < event.version) newest.set(event.email, event);
  }
  return [...newest.values()];
}
