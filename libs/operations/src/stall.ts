/** What the watchdog sees of a part at one moment. */
export interface Look {
  /** ms, of a clock that never goes back. */
  readonly now: number;
  /** Anything that is another value as soon as the part got something done. */
  readonly progress: string;
  /** Whether work waits for the part while nothing known stands in its way. */
  readonly behind: boolean;
}

export type Remedy = 'none' | 'restart' | 'give-up';

/**
 * Decides when a part has stalled: it was behind at every look for `timeoutMs`, and got nothing done. First it is to be restarted;
 * when it stays like that for as long again, to be given up.
 *
 * Time between two looks counts only as far as looks usually are apart (`everyMs`): a process that was stopped, or a machine that
 * slept, wakes up with parts that had no time to do anything.
 */
export class Stall {
  private last: Look | undefined;
  private stalledMs = 0;
  private restarted = false;

  constructor(
    private readonly timeoutMs: number,
    private readonly everyMs: number,
  ) {}

  see(look: Look): Remedy {
    const { last } = this;
    this.last = look;
    if (!last?.behind || !look.behind || look.progress !== last.progress) {
      this.stalledMs = 0;
      this.restarted = false;
      return 'none';
    }
    this.stalledMs += Math.min(look.now - last.now, 2 * this.everyMs);
    if (this.stalledMs < this.timeoutMs) return 'none';
    this.stalledMs = 0;
    if (this.restarted) return 'give-up';
    this.restarted = true;
    return 'restart';
  }
}
