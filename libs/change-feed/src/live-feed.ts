import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { TIMINGS, type Timings } from '#config';
import { covers, encodeCursor, type Cursor } from './cursor.js';
import { Feed, type FeedPage, type LoggedEvent } from './feed.js';

/** Maximum size of the windows that are kept for clients that are slightly behind. A client further behind reads the log itself. */
const MAX_KEPT = { windows: 64, bytes: 8 * 1024 * 1024 };
/** Maximum number of events of a window. */
const PAGE_EVENTS = 500;

/** Events that became visible between two reads. */
export interface Window extends FeedPage {
  /** The events as they are sent to a client that has read `from`: one buffer for all clients. */
  readonly frames: Buffer;
}

/**
 * Reads the end of the log once for all clients that follow it, while there are any. Windows are numbered; each begins where the one
 * before it ended, or there were no events in between.
 */
@Injectable()
export class LiveFeed {
  private readonly logger = new Logger('feed');
  private windows: Window[] = [];
  private bytes = 0;
  /** Number of windows[0]. */
  private first = 0;
  /** Cursor at which the next window begins. Undefined while no client follows. */
  private end: Cursor | undefined;
  private followers = 0;
  private stopped = false;
  private running: Promise<void> | undefined;
  private readonly waiting = new Set<() => void>();

  constructor(
    private readonly feed: Feed,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  /** Keeps the end of the log being read until `leave`. */
  join(): void {
    this.followers += 1;
    this.running ??= this.run();
  }

  leave(): void {
    this.followers -= 1;
  }

  /** Stops reading. Resolves when no read is under way. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  /** Cursor at which the next window begins. */
  get tail(): Cursor | undefined {
    return this.end;
  }

  /** Returns the number of the window with which a client at `cursor` continues (the next one if it is up to date); undefined if it is no longer kept. */
  numberFor(cursor: Cursor): number | undefined {
    if (this.end === undefined) return undefined;
    if (covers(cursor, this.end)) return this.first + this.windows.length;
    const index = this.windows.findLastIndex(({ from }) => covers(cursor, from));
    return index < 0 ? undefined : this.first + index;
  }

  /** Returns a window; undefined when it does not exist yet, `gone` when it is not kept any more. */
  window(number: number): Window | 'gone' | undefined {
    return number < this.first ? 'gone' : this.windows[number - this.first];
  }

  /** Resolves when there is a new window or `signal` aborts, and at the latest after `ms`. Returns false after `ms`, true otherwise. */
  async next(ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (found: boolean): void => {
        clearTimeout(timer);
        this.waiting.delete(onWindow);
        signal.removeEventListener('abort', onWindow);
        resolve(found);
      };
      const onWindow = (): void => finish(true);
      const timer = setTimeout(() => finish(false), ms);
      this.waiting.add(onWindow);
      signal.addEventListener('abort', onWindow);
      if (signal.aborted) onWindow();
    });
  }

  private async run(): Promise<void> {
    const { busyPollMs, idlePollMs, readRetryMs } = this.timings.changeFeed;
    let pause = busyPollMs;
    while (this.followers > 0 && !this.stopped) {
      try {
        this.end ??= await this.feed.now();
        const page = await this.feed.read(this.end, PAGE_EVENTS);
        if (page.events.length > 0) this.add(page);
        this.end = page.to;
        if (!page.complete) continue;
        pause = page.events.length > 0 ? busyPollMs : Math.min(pause * 1.5, idlePollMs);
      } catch (error) {
        this.logger.warn({
          code: 'feed-read-failed',
          message: `Reading the end of the change log failed: ${(error as Error).message}. Trying again in ${readRetryMs / 1_000} s.`,
        });
        // Start again from the end of the log: DB1 may be another server now. The clients read the events in between themselves.
        this.forget();
        pause = readRetryMs;
      }
      await delay(pause, undefined, { ref: false });
    }
    this.forget();
    this.running = undefined;
  }

  private add(page: FeedPage): void {
    const window = { ...page, frames: frames(page.events) };
    this.windows.push(window);
    this.bytes += window.frames.length;
    while (this.windows.length > MAX_KEPT.windows || (this.bytes > MAX_KEPT.bytes && this.windows.length > 1)) {
      this.bytes -= this.windows.shift()!.frames.length;
      this.first += 1;
    }
    this.notify();
  }

  private forget(): void {
    this.first += this.windows.length + 1;
    this.windows = [];
    this.bytes = 0;
    this.end = undefined;
    this.notify();
  }

  private notify(): void {
    for (const onWindow of [...this.waiting]) onWindow();
  }
}

/** The first piece of a stream: a client that loses its connection reconnects after a second. */
export const OPENING = 'retry: 1000\n\n';

/** Formats Server-Sent Events. The id of each event is the cursor after it, so that Last-Event-ID continues with the next event. */
export function frames(events: readonly Pick<LoggedEvent, 'text' | 'cursor'>[]): Buffer {
  return Buffer.from(events.map(({ text, cursor }) => `id: ${encodeCursor(cursor)}\ndata: ${dataLines(text)}\n\n`).join(''));
}

/** A heartbeat, which is not an event. The client keeps its id, so that reconnecting after a quiet month does not answer 410. */
export function heartbeat(cursor: Cursor): string {
  return `: alive\nid: ${encodeCursor(cursor)}\n\n`;
}

/** Continues a field after line breaks, which a column of type json may contain. */
function dataLines(text: string): string {
  return /[\r\n]/.test(text) ? text.replaceAll(/\r\n|\r|\n/g, '\ndata: ') : text;
}
