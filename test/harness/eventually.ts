import { setTimeout as delay } from 'node:timers/promises';

/** Between the looks: each time half as long again, so that a long wait takes no time from what is waited for. */
const PAUSE_MS = { first: 5, longest: 100 };

/**
 * Looks until `condition` holds and answers what it gave. Throws what it threw last, or says that it never held, after `withinMs`.
 * A condition holds when it neither throws nor gives false or undefined.
 */
export async function eventually<T>(condition: () => Promise<T> | T, withinMs = 20_000): Promise<Exclude<T, false | undefined>> {
  const deadline = Date.now() + withinMs;
  for (let pause = PAUSE_MS.first; ; pause = Math.min(pause * 1.5, PAUSE_MS.longest)) {
    let failure: unknown = new Error(`The condition did not hold within ${withinMs} ms: ${condition.toString().slice(0, 300)}`);
    try {
      const value = await condition();
      if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > deadline) throw failure;
    await delay(pause);
  }
}
