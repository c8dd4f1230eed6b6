import { Global, Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { GracefulShutdown } from '#observability';
import { ReplicaWaiting } from '#subscriptions';
import { ReadReplicaHandler } from './replica-read.query.js';
import { ReplicaWaiter } from './replica-waiter.js';
import { ReplicaReadsController, ReplicationStatusController } from './replication-status.controller.js';
import { GetReplicationStatusHandler, TopicEndOffsets } from './replication-status.query.js';

/**
 * Tells whether a change has reached DB2, and waits for it. Part of the api role. Without DB2_HOST the status is `unknown`. Global, because it
 * provides {@link ReplicaWaiting} to libs/subscriptions, which must not depend on this library.
 */
@Global()
@Module({
  imports: [CqrsModule],
  controllers: [ReplicationStatusController, ReplicaReadsController],
  providers: [
    ReplicaWaiter,
    { provide: ReplicaWaiting, useExisting: ReplicaWaiter },
    ReadReplicaHandler,
    GetReplicationStatusHandler,
    TopicEndOffsets,
  ],
  exports: [ReplicaWaiting],
})
export class ReplicationStatusModule implements OnModuleInit {
  constructor(
    private readonly waiter: ReplicaWaiter,
    private readonly shutdown: GracefulShutdown,
  ) {}

  /** Requests that wait are answered at once when the process stops. */
  onModuleInit(): void {
    this.shutdown.register({ name: 'waiting for changes to reach DB2', stop: () => this.waiter.stop() });
  }
}
