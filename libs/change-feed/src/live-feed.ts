import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { covers, encodeCursor, type Cursor } from './cursor.js';
import { Feed, type FeedPage, type LoggedEvent } from './feed.js';

/** Pauses between two looks at the log, ms: after one that found something, at most when idle, and after an error. */
const PAUSE_MS = { busy: 10, idle: 60, failed: 1_000 };
/** What is kept for clients that are a little behind. Who is further behind reads for himself. */
const KEPT = { windows: 64, bytes: 8 * 1024 * 1024 };
const PAGE_EVENTS = 500;

/** What became visible between two looks. */
export interface Window extends FeedPage {
  /** All of it as it is sent to a client that has read `from`: one piece of memory for all clients. */
  readonly frames: Buffer;
}

/**
 * The end of the log, read once for all who follow it, while anybody does. Windows are numbered; each begins where the one before
 * it ended, or where there was nothing in between.
 */
@Injectable()
export class LiveFeed {
  private readonly logger = new Logger('feed');
  private windows: Window[] = [];
  private bytes = 0;
  /** Number of windows[0]. */
  private first = 0;
  /** Where the next window begins. Undefined while nobody follows. */
  private end: Cursor | undefined;
  private followers = 0;
  private stopped = false;
  private running: Promise<void> | undefined;
  private readonly waiting = new Set<() => void>();

  constructor(private readonly feed: Feed) {}

  /** Reads the end of the log until `leave`. */
  join(): void {
    this.followers += 1;
    this.running ??= this.run();
  }

  leave(): void {
    this.followers -= 1;
  }

  /** Resolves when nothing is read any more. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  /** Where the next window begins. */
  get tail(): Cursor | undefined {
    return this.end;
  }

  /** The number of the newest window, or the next one, before which `cursor` has read everything. Undefined when none is so old. */
  numberFor(cursor: Cursor): number | undefined {
    if (this.end === undefined) return undefined;
    if (covers(cursor, this.end)) return this.first + this.windows.length;
    const index = this.windows.findLastIndex(({ from }) => covers(cursor, from));
    return index < 0 ? undefined : this.first + index;
  }

  /** Undefined when it is not there yet; `gone` when it is not kept any more. */
  window(number: number): Window | 'gone' | undefined {
    return number < this.first ? 'gone' : this.windows[number - this.first];
  }

  /** Resolves when there is a new window or `signal` aborts, and at the latest after `ms`. @returns whether there may be one. */
  async next(ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (found: boolean): void => {
        clearTimeout(timer);
        this.waiting.delete(onNews);
        signal.removeEventListener('abort', onNews);
        resolve(found);
      };
      const onNews = (): void => settle(true);
      const timer = setTimeout(() => settle(false), ms);
      this.waiting.add(onNews);
      signal.addEventListener('abort', onNews);
      if (signal.aborted) onNews();
    });
  }

  private async run(): Promise<void> {
    let pause = PAUSE_MS.busy;
    while (this.followers > 0 && !this.stopped) {
      try {
        this.end ??= await this.feed.now();
        const page = await this.feed.read(this.end, PAGE_EVENTS);
        if (page.events.length > 0) this.add(page);
        this.end = page.to;
        if (!page.complete) continue;
        pause = page.events.length > 0 ? PAUSE_MS.busy : Math.min(pause * 1.5, PAUSE_MS.idle);
      } catch (error) {
        this.logger.warn(`The end of the change log can't be read: ${(error as Error).message}`);
        // Read anew from there: DB1 may be another one now. Who follows reads for himself what is in between.
        this.forget();
        pause = PAUSE_MS.failed;
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
    while (this.windows.length > KEPT.windows || (this.bytes > KEPT.bytes && this.windows.length > 1)) {
      this.bytes -= this.windows.shift()!.frames.length;
      this.first += 1;
    }
    this.tell();
  }

  private forget(): void {
    this.first += this.windows.length + 1;
    this.windows = [];
    this.bytes = 0;
    this.end = undefined;
    this.tell();
  }

  private tell(): void {
    for (const onNews of [...this.waiting]) onNews();
  }
}

/** First of all: a client that loses the connection comes back after a second. */
export const OPENING = 'retry: 1000\n\n';

/** Server-Sent Events: the id of each is the cursor behind it, so that Last-Event-ID goes on with the next one. */
export function frames(events: readonly Pick<LoggedEvent, 'text' | 'cursor'>[]): Buffer {
  return Buffer.from(events.map(({ text, cursor }) => `id: ${encodeCursor(cursor)}\ndata: ${inOneField(text)}\n\n`).join(''));
}

/** A sign of life. Its id is kept by the client and is no event: a client that comes back after a quiet month is not told that it missed something. */
export function heartbeat(cursor: Cursor): string {
  return `: alive\nid: ${encodeCursor(cursor)}\n\n`;
}

/** A column of type json may hold line breaks, which end a field. */
function inOneField(text: string): string {
  return /[\r\n]/.test(text) ? text.replaceAll(/\r\n|\r|\n/g, '\ndata: ') : text;
}
