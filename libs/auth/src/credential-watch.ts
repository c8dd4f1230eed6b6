import type { AuthTimings } from '#config';
import { CredentialEndedError } from '#http';
import { type ApiKeys, whyInvalid } from './api-keys.js';

interface Watched {
  /** The id of an API key; undefined for a token. */
  readonly keyId: string | undefined;
  /** When a token expires, in ms since 1970. A key's expiry is read with the key, because a rotation changes it. */
  readonly expiresAt: number;
  readonly onEnd: (reason: CredentialEndedError) => void;
  /** When a key was last found to be valid, by the process's own clock. */
  confirmedAt: number;
}

/**
 * Ends responses that take long within 5 s after the credential that began them: one timer for all of them, and one statement a second for
 * all of their keys. A response whose key cannot be checked any more ends, too, as a new request with that key would be refused (ADR 33).
 */
export class CredentialWatch {
  private readonly watched = new Set<Watched>();
  private timer: NodeJS.Timeout | undefined;
  private checking = false;
  private mustCheckAgain = false;

  /** Without `keys` only tokens are watched: the process has no Database 1. */
  constructor(
    private readonly keys: ApiKeys | undefined,
    private readonly timings: AuthTimings,
  ) {}

  /** Calls `onEnd` when the key is revoked or expires, or cannot be checked. Returns a function that stops watching. */
  watchKey(keyId: string, onEnd: Watched['onEnd']): () => void {
    const stop = this.watch({ keyId, expiresAt: Infinity, onEnd, confirmedAt: performance.now() });
    // The key may have been revoked since it was cached.
    void this.checkKeys();
    return stop;
  }

  /** Calls `onEnd` when a token expires. Returns a function that stops watching. */
  watchToken(expiresAt: number, onEnd: Watched['onEnd']): () => void {
    return this.watch({ keyId: undefined, expiresAt, onEnd, confirmedAt: 0 });
  }

  private watch(watched: Watched): () => void {
    this.watched.add(watched);
    this.timer ??= setInterval(() => this.check(), this.timings.credentialCheckMs).unref();
    return () => {
      this.watched.delete(watched);
      if (this.watched.size > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    };
  }

  private check(): void {
    const latest = performance.now() - this.timings.credentialCheckTimeoutMs;
    for (const watched of [...this.watched]) {
      if (watched.expiresAt <= Date.now()) this.end(watched, new CredentialEndedError('unauthorized', 'The token has expired'));
      if (watched.keyId === undefined || watched.confirmedAt > latest) continue;
      this.end(watched, new CredentialEndedError('unavailable', 'The API key cannot be checked any more: Database 1 does not respond'));
    }
    void this.checkKeys();
  }

  /** Reads all watched keys with one statement. One that is requested while another one is under way follows it. */
  private async checkKeys(): Promise<void> {
    this.mustCheckAgain = this.checking;
    const watched = [...this.watched].filter(({ keyId }) => keyId !== undefined);
    if (this.checking || !this.keys || watched.length === 0) return;
    this.checking = true;
    const startedAt = performance.now();
    try {
      const found = await this.keys.findAll([...new Set(watched.map(({ keyId }) => keyId!))]);
      const byId = new Map(found.map((key) => [key.id, key]));
      for (const each of watched) {
        const key = byId.get(each.keyId!);
        const problem = key ? whyInvalid(key) : 'The API key is not valid';
        if (problem === undefined) each.confirmedAt = startedAt;
        else this.end(each, new CredentialEndedError('unauthorized', problem));
      }
    } catch {
      // Database 1 does not respond: `check` ends what is not confirmed in time.
    } finally {
      this.checking = false;
    }
    if (this.mustCheckAgain) void this.checkKeys();
  }

  private end(watched: Watched, reason: CredentialEndedError): void {
    if (this.watched.delete(watched)) watched.onEnd(reason);
  }
}
