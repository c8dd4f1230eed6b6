import { GoneException, Inject, Injectable } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { parseSnapshot, SELECT_LOG_END, SELECT_TXID_AT, selectFeedPage, type Snapshot } from '#change-log';
import { CANARY_EMAIL, ERASED_EMAIL, eventText, type LoggedChange } from '#events';
import { type Database, DB1 } from '#postgres';
import { type Cursor, cursorAfter, cursorAt, FEED_START, isRead, type Place, withPlaceRead } from './cursor.js';

/** Maximum number of bytes of a page's events, except for its first event. */
const PAGE_BYTES = 1024 * 1024;

/** A change in the log. */
export interface LoggedEvent extends Place {
  /** The CloudEvents text, as it goes to Kafka. */
  readonly text: string;
  /** The cursor after this event. */
  readonly cursor: Cursor;
}

/** Events that follow a cursor, in the order of {@link cursorAfter}. */
export interface FeedPage {
  readonly from: Cursor;
  readonly to: Cursor;
  /** The snapshot by which the page was read. */
  readonly snapshot: Snapshot;
  readonly prunings: number;
  readonly events: readonly LoggedEvent[];
  /** There were no further events in that snapshot. */
  readonly complete: boolean;
}

/** A row of the page: a change, or none on an empty page. */
interface Row extends LoggedChange {
  readonly snapshot: string;
  readonly pruned_txid: string | null;
  readonly pruned_version: number | null;
  readonly prunings: number;
  readonly found: number;
  readonly txid: string | null;
  readonly version: number;
}

/** The canary measures the pipeline and is not a subscription. Erased changes have only their versions left. */
const OF_SUBSCRIPTIONS = `email <> '${CANARY_EMAIL}' AND email <> '${ERASED_EMAIL}'`;

const SELECT_PAGE = selectFeedPage(OF_SUBSCRIPTIONS, PAGE_BYTES);

/** Reads the change log in an order in which no change that commits late is skipped, and every change appears once. */
@Injectable()
export class Feed {
  constructor(@Inject(DB1) private readonly db1: Pick<Database, 'query'>) {}

  /** Returns at most `limit` events after a cursor. @throws GoneException when events that the cursor had not read were pruned. */
  async read(from: Cursor, limit: number): Promise<FeedPage> {
    const { xmax, running } = withPlaceRead(from);
    const { txid, version } = from.place ?? { txid: 0n, version: -1 };
    const rows = await this.db1.query<Row>(SELECT_PAGE, [running.map(String), String(txid), version, String(xmax), limit]);
    const first = rows[0]!;
    const { prunings } = first;
    const snapshot = parseSnapshot(first.snapshot);
    requireUnpruned(from, snapshot, first);
    const events = rows.flatMap((row): LoggedEvent[] => {
      if (row.txid === null) return [];
      const place = { txid: BigInt(row.txid), version: row.version };
      return [{ ...place, text: eventText(row), cursor: cursorAfter(from, snapshot, place, prunings) }];
    });
    const complete = first.found < limit && events.length === first.found;
    const to = complete ? cursorAt(snapshot, prunings) : events.at(-1)!.cursor;
    return { from, to, snapshot, prunings, events, complete };
  }

  /** Returns the cursor after everything that is committed now. */
  async now(): Promise<Cursor> {
    const [row] = await this.db1.query<Pick<Row, 'snapshot' | 'prunings'>>(SELECT_LOG_END);
    return cursorAt(parseSnapshot(row!.snapshot), row!.prunings);
  }

  /** Returns a cursor before all changes made at `time` (RFC 3339) or later, and before some that were made earlier. It does not miss what was pruned. */
  async at(time: string): Promise<Cursor> {
    const [row] = await this.db1.query<{ txid: string }>(SELECT_TXID_AT, [time]);
    return row ? { ...FEED_START, xmax: BigInt(row.txid) } : FEED_START;
  }
}

/** A page of at most `limit` events after a cursor. Fails with 410 when the log was pruned beyond the cursor. */
export class ListEventsQuery extends Query<FeedPage> {
  constructor(
    readonly from: Cursor | 'now',
    readonly limit: number,
  ) {
    super();
  }
}

@QueryHandler(ListEventsQuery)
export class ListEventsHandler implements IQueryHandler<ListEventsQuery> {
  constructor(private readonly feed: Feed) {}

  async execute({ from, limit }: ListEventsQuery): Promise<FeedPage> {
    return this.feed.read(from === 'now' ? await this.feed.now() : from, limit);
  }
}

/** Throws unless the log was not pruned since the cursor, or everything that was pruned had been read. */
function requireUnpruned(cursor: Cursor, snapshot: Snapshot, { pruned_txid: txid, pruned_version: version, prunings }: Row): void {
  if (cursor.xmax > snapshot.xmax) {
    throw new GoneException(
      'The cursor is ahead of Database 1, which was restored or replaced. Request `after=now` first, then read all subscriptions, then continue from that cursor',
    );
  }
  if (txid === null || prunings <= cursor.prunings) return;
  const last = { txid: BigInt(txid), version: version! };
  if (isRead(cursor, last) && cursor.running.every((id) => id > last.txid)) return;
  throw new GoneException(
    'The change log no longer has all events after the cursor (LOG_RETENTION_DAYS). Request `after=now` first, then read all subscriptions, then continue from that cursor',
  );
}
