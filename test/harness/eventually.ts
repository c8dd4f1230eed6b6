import { setTimeout as delay } from 'node:timers/promises';

/** Pauses (ms) between attempts. Each is half as long again as the previous one, so that a long wait takes little processor time. */
const PAUSE_MS = { first: 5, longest: 100 };

/**
 * Polls until `condition` holds, and returns its value. After `withinMs`, throws its last error, or an error that it did not hold.
 * A condition holds when it neither throws nor returns false or undefined.
 */
export async function eventually<T>(condition: () => Promise<T> | T, withinMs = 60_000): Promise<Exclude<T, false | undefined>> {
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

/** The response of `/health/ready`. */
export interface Readiness {
  readonly code: number;
  readonly status: string;
  readonly checks: Readonly<
    Record<string, { readonly status: string; readonly error?: string; readonly state?: string; readonly note?: string }>
  >;
}

/** Where access is not open, only a request with a credential in `headers` sees the details. */
export async function readinessOf(url: string, headers: Record<string, string> = {}): Promise<Readiness> {
  const response = await fetch(`${url}/health/ready`, { headers });
  return { code: response.status, ...((await response.json()) as Omit<Readiness, 'code'>) };
}

/** Returns the reason why a part is down; undefined while it is up or has not connected yet. */
export async function problemOf(url: string, part: string): Promise<string | undefined> {
  const error = (await readinessOf(url)).checks[part]?.error;
  return error?.includes('connected yet') ? undefined : error;
}

/** Returns how often the watchdog of the server at `url` has restarted a part. */
export async function restartsOf(url: string, part: 'sync' | 'replica'): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^subscription_sync_restarts_total\\{part="${part}"\\} (\\d+)$`, 'm').exec(text)![1]);
}
