import { Module, type OnModuleInit } from '@nestjs/common';
import { GracefulShutdown } from '#observability';
import { PreferWait } from './prefer-header.js';
import { ReplicaReadQuery } from './replica-read.query.js';
import { ReplicaWaiter } from './replica-waiter.js';
import { ReplicaReadsController, ReplicationStatusController } from './replication-status.controller.js';
import { ReplicationStatus, TopicEndOffsets } from './replication-status.query.js';

/** Whether a change has reached DB2, and waiting for it. Belongs to the api role; without DB2_HOST it says that it does not know. */
@Module({
  controllers: [ReplicationStatusController, ReplicaReadsController],
  providers: [ReplicaWaiter, ReplicaReadQuery, ReplicationStatus, TopicEndOffsets, PreferWait],
})
export class ReplicationStatusModule implements OnModuleInit {
  constructor(
    private readonly arrivals: ReplicaWaiter,
    private readonly shutdown: GracefulShutdown,
  ) {}

  /** Those who wait are answered at once. */
  onModuleInit(): void {
    this.shutdown.register({ name: 'waiting for changes to reach DB2', stop: () => this.arrivals.stop() });
  }
}
