import { setTimeout as delay } from 'node:timers/promises';
import { StandaloneError } from './standalone.error.js';

export interface WaitOptions {
  /** Names the awaited thing in the error: "<what> is not ready after 60 s". */
  readonly what: string;
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Pause between two looks, ms. */
const PAUSE_MS = 25;

/**
 * Asks `check` until it answers something but undefined, and returns that. What `check` throws ends the wait.
 * @throws StandaloneError after `withinMs`; the signal's reason when aborted.
 */
export async function waitFor<T>(check: () => Promise<T | undefined> | T | undefined, options: WaitOptions): Promise<T> {
  const deadline = Date.now() + options.withinMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const answer = await check();
    if (answer !== undefined) return answer;
    if (Date.now() >= deadline) throw new StandaloneError(`${options.what} is not ready after ${options.withinMs / 1000} s`);
    await delay(PAUSE_MS, undefined, { signal: options.signal });
  }
}
