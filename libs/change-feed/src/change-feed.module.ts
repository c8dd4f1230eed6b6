import { Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { GracefulShutdown } from '#observability';
import { EventsController } from './events.controller.js';
import { Feed, ListEventsHandler } from './feed.js';
import { FollowEventsHandler } from './follow-feed.js';
import { HistoryController } from './history.controller.js';
import { ListHistoryHandler } from './history.query.js';
import { LiveFeed } from './live-feed.js';

/** The change log through the API: a subscription's history, and the feed of all events. Belongs to the api role. */
@Module({
  imports: [CqrsModule],
  controllers: [HistoryController, EventsController],
  providers: [ListHistoryHandler, ListEventsHandler, FollowEventsHandler, Feed, LiveFeed],
})
export class ChangeFeedModule implements OnModuleInit {
  constructor(
    private readonly live: LiveFeed,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onModuleInit(): void {
    this.shutdown.register({ name: 'reading the end of the change log', stop: () => this.live.stop() });
  }
}
