import { Controller, Get, Headers, Inject, Query, Res } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiTags, getSchemaPath } from '@nestjs/swagger';
import { SETTINGS, type Settings } from '#config';
import { ApiProblems, EVENT_STREAM, limitOf, OptionalHeader, RequireScope, StreamingResponses, type StreamingReply } from '#http';
import { EventPage, FollowEvents, ReadEvents } from './change-feed.dto.js';
import { FEED_START, type Cursor, decodeCursor, encodeCursor } from './cursor.js';
import { ListEventsQuery } from './feed.js';
import { FollowEventsQuery } from './follow-feed.js';

const STREAM = {
  [EVENT_STREAM.type]: { example: 'id: MS4…\ndata: {"specversion":"1.0","id":"42", …}\n\n' },
};
const LastEventId = (): MethodDecorator =>
  OptionalHeader('Last-Event-ID', 'For a stream: the id of the last event that the client received. Overrides `after`', {
    format: 'event-id',
  });

/** The change log as a feed: every committed change once, including changes that commit late. */
@ApiTags('events')
@Controller('events')
@RequireScope('export')
@ApiExtraModels(EventPage)
export class EventsController {
  constructor(
    private readonly queries: QueryBus,
    private readonly streaming: StreamingResponses,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'listEvents', summary: 'Read the events after a cursor; with Accept: text/event-stream, follow them' })
  @LastEventId()
  @ApiOkResponse({
    description: 'A page of events; or a stream of events, which does not end',
    content: { 'application/json': { schema: { $ref: getSchemaPath(EventPage) } }, ...STREAM },
  })
  @ApiProblems(410)
  async read(
    @Query() options: ReadEvents,
    @Res() reply: StreamingReply,
    @Headers('accept') accept?: string,
    @Headers('last-event-id') lastEventId?: string,
  ): Promise<void> {
    const { after } = options;
    if (accept?.includes(EVENT_STREAM.type)) return this.open(reply, after, lastEventId);
    const page = await this.queries.execute(new ListEventsQuery(parseAfter(after), limitOf(options)));
    const data = page.events.map(({ text }) => text).join(',');
    reply
      .header('content-type', 'application/json; charset=utf-8')
      .send(`{"data":[${data}],"next_cursor":"${encodeCursor(page.to)}","has_more":${!page.complete}}`);
  }

  @Get('stream')
  @ApiOperation({ operationId: 'followEvents', summary: 'Follow the events after a cursor as Server-Sent Events' })
  @LastEventId()
  @ApiOkResponse({ description: 'A stream of events, which does not end', content: STREAM })
  @ApiProblems(410)
  stream(@Query() { after }: FollowEvents, @Res() reply: StreamingReply, @Headers('last-event-id') lastEventId?: string): Promise<void> {
    return this.open(reply, after, lastEventId);
  }

  /** Reports errors before the stream begins: an invalid or pruned cursor, and a database that is away. */
  private async open(reply: StreamingReply, after: string | undefined, lastEventId: string | undefined): Promise<void> {
    const from = lastEventId ? decodeCursor(lastEventId, 'Last-Event-ID') : parseAfter(after);
    const pieces = await this.queries.execute(new FollowEventsQuery(from));
    this.streaming.send(reply, {
      kind: 'event streams',
      maxOpen: this.settings.eventStreams,
      maxPerCaller: Math.max(1, Math.floor(this.settings.eventStreams / 4)),
      headers: EVENT_STREAM.headers,
      pieces,
    });
  }
}

function parseAfter(after: string | undefined): Cursor | 'now' {
  if (after === undefined || after === '' || after === '0') return FEED_START;
  return after === 'now' ? 'now' : decodeCursor(after, 'after');
}
