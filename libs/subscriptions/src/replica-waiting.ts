/**
 * Port through which a write waits for Database 2. libs/replication-status provides it; this library does not depend on that one, and
 * without it no write waits.
 */
export abstract class ReplicaWaiting {
  /** Whether this process can tell which versions Database 2 has. */
  abstract get available(): boolean;

  /**
   * Waits until Database 2 has that version of the email or a newer one. Resolves with false after `timeoutMs`, when `signal` aborts, when the
   * process stops, or at once when too many requests wait already. Never rejects.
   */
  abstract wait(email: string, version: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean>;
}
