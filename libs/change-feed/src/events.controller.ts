import { Inject, Controller, Get, Headers, Query, Res, UsePipes } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiTags, getSchemaPath } from '@nestjs/swagger';
import { SETTINGS, type Settings } from '#config';
import {
  ApiProblems,
  EVENT_STREAM,
  limitOf,
  OptionalHeader,
  requestPipe,
  RequireScope,
  StreamingResponses,
  type StreamingReply,
} from '#http';
import { EventPage, FollowEvents, ReadEvents } from './change-feed.dto.js';
import { BEGINNING, type Cursor, decodeCursor, encodeCursor } from './cursor.js';
import { Feed } from './feed.js';
import { FollowFeed } from './follow-feed.js';

const FIRST_PAGE = 500;

const STREAM = {
  [EVENT_STREAM.type]: { example: 'id: MS4…\ndata: {"specversion":"1.0","id":"42", …}\n\n' },
};
const LastEventId = (): MethodDecorator =>
  OptionalHeader('Last-Event-ID', 'Of a stream: the id of the last event that was received, which goes before `after`', {
    format: 'event-id',
  });

/** The change log as a feed: every committed change once, also those that commit late. */
@ApiTags('events')
@Controller('events')
@RequireScope('read')
@UsePipes(requestPipe)
@ApiExtraModels(EventPage)
export class EventsController {
  constructor(
    private readonly feed: Feed,
    private readonly followFeed: FollowFeed,
    private readonly answers: StreamingResponses,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'listEvents', summary: 'Read the events behind a cursor; with Accept: text/event-stream, follow them' })
  @LastEventId()
  @ApiOkResponse({
    description: 'A page of events; or the stream, which does not end',
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
    const page = await this.feed.read(await this.cursorOf(after, 'after'), limitOf(options));
    const data = page.events.map(({ text }) => text).join(',');
    reply
      .header('content-type', 'application/json; charset=utf-8')
      .send(`{"data":[${data}],"next_cursor":"${encodeCursor(page.to)}","has_more":${!page.complete}}`);
  }

  @Get('stream')
  @ApiOperation({ operationId: 'followEvents', summary: 'Follow the events behind a cursor as Server-Sent Events' })
  @LastEventId()
  @ApiOkResponse({ description: 'The stream, which does not end', content: STREAM })
  @ApiProblems(410)
  stream(@Query() { after }: FollowEvents, @Res() reply: StreamingReply, @Headers('last-event-id') lastEventId?: string): Promise<void> {
    return this.open(reply, after, lastEventId);
  }

  /** What can be wrong is told before the stream begins: a cursor that is none, or pruned, and a database that is away. */
  private async open(reply: StreamingReply, after: string | undefined, lastEventId: string | undefined): Promise<void> {
    const cursor = lastEventId ? decodeCursor(lastEventId, 'Last-Event-ID') : await this.cursorOf(after, 'after');
    const first = await this.feed.read(cursor, FIRST_PAGE);
    this.answers.send(reply, {
      kind: 'event streams',
      atMost: this.settings.eventStreams,
      headers: EVENT_STREAM.headers,
      pieces: (signal) => this.followFeed.stream(first, signal),
    });
  }

  private async cursorOf(after: string | undefined, field: string): Promise<Cursor> {
    if (after === undefined || after === '' || after === '0') return BEGINNING;
    return after === 'now' ? this.feed.now() : decodeCursor(after, field);
  }
}
