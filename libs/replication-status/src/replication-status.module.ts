import { Module, type OnModuleInit } from '@nestjs/common';
import { Shutdown } from '#observability';
import { PreferWait } from './prefer-header.js';
import { ReplicaReads } from './replica-read.query.js';
import { Arrivals } from './replica-waiter.js';
import { ReplicaReadsController, ReplicationController } from './replication-status.controller.js';
import { Replication, TopicEnds } from './replication-status.query.js';

/** Whether a change has reached DB2, and waiting for it. Belongs to the api role; without DB2_HOST it says that it does not know. */
@Module({
  controllers: [ReplicationController, ReplicaReadsController],
  providers: [Arrivals, ReplicaReads, Replication, TopicEnds, PreferWait],
})
export class TrackingModule implements OnModuleInit {
  constructor(
    private readonly arrivals: Arrivals,
    private readonly shutdown: Shutdown,
  ) {}

  /** Those who wait are answered at once. */
  onModuleInit(): void {
    this.shutdown.register({ name: 'waiting for changes to reach DB2', stop: () => this.arrivals.stop() });
  }
}
