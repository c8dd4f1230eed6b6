import { Inject, Injectable } from '@nestjs/common';
import { SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { BatchStrategy, BrokerCheck } from '#kafka';
import type { WatchedPart } from '#observability';
import { type Database, DB2 } from '#postgres';
import { ApplyChanges } from './apply-changes.js';
import { findWaiting } from './replica-metrics.js';

/** Reports the replica's progress to the watchdog. */
@Injectable()
export class ReplicaProgress implements WatchedPart {
  readonly name = 'replica';

  constructor(
    private readonly strategy: BatchStrategy,
    private readonly changes: ApplyChanges,
    private readonly broker: BrokerCheck,
    @Inject(SETTINGS) private readonly settings: Settings,
    @Inject(TIMINGS) private readonly timings: Timings,
    @Inject(DB2) private readonly db2: Database,
  ) {}

  progress(): string {
    return String(this.strategy.partitions.handled);
  }

  /**
   * Whether the replica lags without a reason: Kafka and DB2 answer and no batch is in flight, yet this member is not in the group, or
   * one of its partitions has records that are not in DB2.
   */
  async isBehind(): Promise<boolean> {
    const { partitions } = this.strategy;
    if (partitions.isWaiting(this.changes.lastProgressAt)) return false;
    await this.broker.check();
    await this.db2.check();
    const waiting = await findWaiting(this.db2, this.settings.kafka!, this.timings.kafka, partitions.skippedTo);
    return partitions.assigned?.some((partition) => (waiting.get(partition)?.count ?? 0) > 0) ?? true;
  }

  restart(): Promise<void> {
    return this.strategy.restart();
  }
}
