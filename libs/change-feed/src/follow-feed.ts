import { GoneException, Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { sleep, TIMINGS, type Timings } from '#config';
import { covers, type Cursor, cursorAfter, isRead } from './cursor.js';
import { Feed, type FeedPage } from './feed.js';
import { frames, heartbeat, LiveFeed, OPENING } from './live-feed.js';

/** Maximum number of events of a page. */
const PAGE_EVENTS = 500;
/** Maximum number of streams that read pages of their own at once: the pool's connections are for requests. */
const MAX_READERS = 2;

/** The pieces of a streamed answer, read until `signal` aborts. */
export type StreamPieces = (signal: AbortSignal) => AsyncGenerator<string | Buffer, void, void>;

/**
 * The event stream of one client: every change behind the cursor, each once, without an end. Fails before the stream begins with 410 when
 * the log was pruned beyond the cursor, and with 503 while DB1 is away.
 */
export class FollowEventsQuery extends Query<StreamPieces> {
  constructor(readonly from: Cursor | 'now') {
    super();
  }
}

@QueryHandler(FollowEventsQuery)
export class FollowEventsHandler implements IQueryHandler<FollowEventsQuery> {
  private reading = 0;
  private readonly queue: (() => void)[] = [];

  constructor(
    private readonly feed: Feed,
    private readonly live: LiveFeed,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  async execute({ from }: FollowEventsQuery): Promise<StreamPieces> {
    const first = await this.feed.read(from === 'now' ? await this.feed.now() : from, PAGE_EVENTS);
    return (signal) => this.stream(first, signal);
  }

  /**
   * Yields `first`, then everything behind it. Reads pages of its own until the stream has caught up with {@link LiveFeed}, and again
   * whenever it falls behind, so that nothing waits for a slow client. Ends when `signal` aborts, or when the log was pruned beyond the
   * cursor: the client learns that when it reconnects.
   */
  private async *stream(first: FeedPage, signal: AbortSignal): AsyncGenerator<string | Buffer, void, void> {
    this.live.join();
    try {
      yield OPENING;
      if (first.events.length > 0) yield frames(first.events);
      let cursor = first.to;
      while (!signal.aborted) {
        cursor = yield* this.catchUp(cursor, signal);
        const number = this.live.numberFor(cursor);
        if (number === undefined) await sleep(this.timings.changeFeed.joinPollMs);
        else cursor = yield* this.follow(cursor, number, signal);
      }
    } catch (error) {
      if (!(error instanceof GoneException)) throw error;
    } finally {
      this.live.leave();
    }
  }

  /** Reads to the end of the log. Returns the cursor there. */
  private async *catchUp(from: Cursor, signal: AbortSignal): AsyncGenerator<Buffer, Cursor, void> {
    let cursor = from;
    while (!signal.aborted) {
      const page = await this.read(cursor);
      if (page === undefined) {
        await sleep(this.timings.changeFeed.readRetryMs, signal);
        continue;
      }
      if (page.events.length > 0) yield frames(page.events);
      cursor = page.to;
      if (page.complete) break;
    }
    return cursor;
  }

  /** Sends the windows of the live feed from `number` on. Returns the cursor when the live feed no longer has the next window. */
  private async *follow(from: Cursor, number: number, signal: AbortSignal): AsyncGenerator<string | Buffer, Cursor, void> {
    let cursor = from;
    /** The client has read exactly what lies before the window, so the window's shared frames can be sent unchanged. */
    let inStep = false;
    for (let at = number; !signal.aborted;) {
      const window = this.live.window(at);
      if (window === 'gone') break;
      if (window === undefined) {
        if (await this.live.next(this.timings.changeFeed.heartbeatMs, signal)) continue;
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

  /** Reads a page, at most {@link MAX_READERS} at once. Returns undefined while DB1 is away. */
  private async read(cursor: Cursor): Promise<FeedPage | undefined> {
    if (this.reading >= MAX_READERS) await new Promise<void>((resolve) => this.queue.push(resolve));
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
