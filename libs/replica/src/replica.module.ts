import { Module } from '@nestjs/common';
import { ApplyChanges } from './apply-changes.js';
import { ReplicaController } from './replica.controller.js';
import { ReplicaMetrics } from './replica-metrics.js';

/** The replica role: applies the topic's events to DB2. Its transport is {@link createReplicaStrategy}. */
@Module({ controllers: [ReplicaController], providers: [ApplyChanges, ReplicaMetrics] })
export class ReplicaModule {}
