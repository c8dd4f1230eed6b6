import { setTimeout as delay } from 'node:timers/promises';

/** Pauses between the attempts at something that fails: `firstMs`, doubled after each failure, at most `longestMs`. */
export interface Backoff {
  readonly firstMs: number;
  readonly longestMs: number;
  /** Whether each pause is shortened at random, by up to half, so that processes that failed together do not retry together. */
  readonly jitter?: boolean;
}

export interface RetryOptions {
  readonly backoff: Backoff;
  /** Ends the retries. An attempt under way is not interrupted: it has to watch the signal itself. */
  readonly signal: AbortSignal;
  /** Called after each failed attempt and before the pause (ms) that follows it. */
  readonly onFailure: (error: Error, pauseMs: number) => void | Promise<void>;
  /** An attempt that worked for longer than this (ms) before it failed counts as a success: the pauses start again at `firstMs`. */
  readonly resetAfterMs?: number;
}

/** Source of time. Replaced in tests only. */
export interface Clock {
  /** Monotonic time (ms). */
  now(): number;
  /** Resolves after `ms`, or as soon as `signal` aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

const SYSTEM_CLOCK: Clock = { now: () => performance.now(), sleep };

/**
 * Calls `attempt` until it succeeds, and returns its result. The one retry loop of the project.
 * @throws the signal's reason once it has aborted, and nothing else.
 */
export async function retry<T>(
  attempt: () => Promise<T>,
  { backoff, signal, onFailure, resetAfterMs = Infinity }: RetryOptions,
  clock: Clock = SYSTEM_CLOCK,
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    signal.throwIfAborted();
    const startedAt = clock.now();
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (clock.now() - startedAt > resetAfterMs) failures = 1;
      const pauseMs = backoffMs(backoff, failures);
      await onFailure(error as Error, pauseMs);
      await clock.sleep(pauseMs, signal);
    }
  }
}

/** Returns the pause (ms) after the given number of failures in a row, which is at least 1. */
export function backoffMs({ firstMs, longestMs, jitter = false }: Backoff, failures: number, random = Math.random): number {
  const pauseMs = Math.min(firstMs * 2 ** (failures - 1), longestMs);
  return jitter ? Math.round(pauseMs * (0.5 + random() / 2)) : pauseMs;
}

/** Resolves after `ms`, or as soon as `signal` aborts. Never rejects. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
