import { Module, type OnModuleInit } from '@nestjs/common';
import { GracefulShutdown } from '#observability';
import { EventsController } from './events.controller.js';
import { Feed } from './feed.js';
import { FollowFeed } from './follow-feed.js';
import { HistoryController } from './history.controller.js';
import { History } from './history.query.js';
import { LiveFeed } from './live-feed.js';

/** What the change log tells through the API: a subscription's history, and the feed of all events. Belongs to the api role. */
@Module({ controllers: [HistoryController, EventsController], providers: [History, Feed, LiveFeed, FollowFeed] })
export class ChangeFeedModule implements OnModuleInit {
  constructor(
    private readonly live: LiveFeed,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onModuleInit(): void {
    this.shutdown.register({ name: 'reading the end of the change log', stop: () => this.live.stop() });
  }
}
