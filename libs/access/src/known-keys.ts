import type { ApiKeys, StoredKey } from './api-keys.js';

/** So long a key is believed to be as it was read: a revocation is in force everywhere after that. */
const BELIEVED_MS = 5_000;
/** From this age on it is read again beside the requests that use it, so that none of them waits. */
const READ_AGAIN_MS = 2_500;
/** A key of 200 bytes or so; the one that was read first goes first. */
const AT_MOST = 1_000;

interface Known {
  readonly key: StoredKey;
  readonly readAt: number;
  reading: boolean;
}

/** The API keys in use, at most 5 s old. Ids that don't exist are not kept: inventing them must not push others out. */
export class KnownKeys {
  private readonly known = new Map<string, Known>();
  private readonly reading = new Map<string, Promise<StoredKey | undefined>>();

  constructor(
    private readonly keys: ApiKeys,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Without asking DB1 where it may not be asked. @throws DatabaseUnavailableError when it must be asked, and does not answer. */
  get(id: string, mayAsk: boolean): StoredKey | undefined | Promise<StoredKey | undefined> {
    const known = this.known.get(id);
    const age = known ? this.now() - known.readAt : Infinity;
    if (known && age < BELIEVED_MS) {
      if (age > READ_AGAIN_MS && !known.reading) {
        known.reading = true;
        this.read(id).catch(() => (known.reading = false));
      }
      return known.key;
    }
    return mayAsk || known ? this.read(id) : undefined;
  }

  /** After a change that was made here. */
  forget(id: string): void {
    this.known.delete(id);
  }

  private read(id: string): Promise<StoredKey | undefined> {
    const running = this.reading.get(id);
    if (running) return running;
    const reading = this.ask(id).finally(() => this.reading.delete(id));
    this.reading.set(id, reading);
    return reading;
  }

  private async ask(id: string): Promise<StoredKey | undefined> {
    // Its age counts from before the question: the answer may be as old as that.
    const readAt = this.now();
    const key = await this.keys.find(id);
    this.known.delete(id);
    if (!key) return undefined;
    if (this.known.size >= AT_MOST) this.known.delete(this.known.keys().next().value!);
    this.known.set(id, { key, readAt, reading: false });
    return key;
  }
}
