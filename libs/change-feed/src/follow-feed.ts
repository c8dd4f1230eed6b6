import { setTimeout as delay } from 'node:timers/promises';
import { GoneException, Injectable } from '@nestjs/common';
import { covers, type Cursor, cursorAfter, isRead } from './cursor.js';
import { Feed, type FeedPage } from './feed.js';
import { LiveFeed, OPENING, frames, heartbeat } from './live-feed.js';

const HEARTBEAT_MS = 15_000;
const PAGE_EVENTS = 500;
/** Pauses, ms: while the live feed begins, and after an error. */
const PAUSE_MS = { joining: 10, failed: 1_000 };
/** Clients that read for themselves at once: the pool's connections are for requests. */
const READERS = 2;

/** The event stream of one client. */
@Injectable()
export class FollowFeed {
  private reading = 0;
  private readonly queue: (() => void)[] = [];

  constructor(
    private readonly feed: Feed,
    private readonly live: LiveFeed,
  ) {}

  /**
   * What is to be sent to a client that has read `first.from`: `first`, then everything else, each change once, for ever. Reads on
   * pages of its own until it has caught up with {@link LiveFeed}, and again whenever it falls behind it: nothing waits for a slow
   * client. Ends when `signal` aborts, or when what follows was pruned: the client learns that when it comes back.
   */
  async *stream(first: FeedPage, signal: AbortSignal): AsyncGenerator<string | Buffer, void, void> {
    this.live.join();
    try {
      yield OPENING;
      if (first.events.length > 0) yield frames(first.events);
      let cursor = first.to;
      while (!signal.aborted) {
        cursor = yield* this.catchUp(cursor, signal);
        const number = this.live.numberFor(cursor);
        if (number === undefined) await delay(PAUSE_MS.joining);
        else cursor = yield* this.follow(cursor, number, signal);
      }
    } catch (error) {
      if (!(error instanceof GoneException)) throw error;
    } finally {
      this.live.leave();
    }
  }

  /** Reads to the end of the log. @returns what is read then. */
  private async *catchUp(from: Cursor, signal: AbortSignal): AsyncGenerator<Buffer, Cursor, void> {
    let cursor = from;
    while (!signal.aborted) {
      const page = await this.read(cursor);
      if (page === undefined) {
        await delay(PAUSE_MS.failed, undefined, { signal }).catch(() => undefined);
        continue;
      }
      if (page.events.length > 0) yield frames(page.events);
      cursor = page.to;
      if (page.complete) break;
    }
    return cursor;
  }

  /** Takes windows from `number` on. @returns what is read when the live feed does not keep the next one any more. */
  private async *follow(from: Cursor, number: number, signal: AbortSignal): AsyncGenerator<string | Buffer, Cursor, void> {
    let cursor = from;
    /** Whether just what lies before the window is read, as for everybody: its frames fit as they are. */
    let inStep = false;
    for (let at = number; !signal.aborted;) {
      const window = this.live.window(at);
      if (window === 'gone') break;
      if (window === undefined) {
        if (await this.live.next(HEARTBEAT_MS, signal)) continue;
        if (inStep && this.live.window(at) === undefined) cursor = this.live.tail ?? cursor;
        yield heartbeat(cursor);
        continue;
      }
      at += 1;
      if (inStep) {
        yield window.frames;
        cursor = window.to;
        continue;
      }
      const base = cursor;
      const events = window.events
        .filter((event) => !isRead(base, event))
        .map((event) => ({ ...event, cursor: cursorAfter(base, window.snapshot, event, window.prunings) }));
      if (events.length > 0) yield frames(events);
      inStep = covers(window.to, base);
      cursor = inStep ? window.to : (events.at(-1)?.cursor ?? base);
    }
    return cursor;
  }

  /** In turn. Undefined when DB1 can't be asked now. */
  private async read(cursor: Cursor): Promise<FeedPage | undefined> {
    if (this.reading >= READERS) await new Promise<void>((resolve) => this.queue.push(resolve));
    else this.reading += 1;
    try {
      return await this.feed.read(cursor, PAGE_EVENTS);
    } catch (error) {
      if (error instanceof GoneException) throw error;
      return undefined;
    } finally {
      const next = this.queue.shift();
      if (next) next();
      else this.reading -= 1;
    }
  }
}
