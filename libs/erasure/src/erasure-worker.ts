import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { eraseChanges } from '#change-log';
import { type ErasureTimings, type KafkaSettings, SETTINGS, type Settings, sleep, TIMINGS, type Timings } from '#config';
import { type Database, DB1, DB2, queryOf } from '#postgres';
import { eraseFromReconciliation, waitUntilApplied } from '#reconciliation';
import { eraseFromReplica, readReplicaStates } from '#replica';
import { eraseUnpublishable } from '#sync';
import { completeErasure, lockErasure, type OpenErasure, readOpenErasures, restartErasure, storeErased } from './erasures.js';
import { observeTopic, TopicBeginnings } from './kafka-remainder.js';

/**
 * Carries out the erasures that were requested (ADR 34), in two steps. When the deletion has reached DB2, everything is erased except the
 * email and the version of its deletion, which guard against records that Kafka can still deliver. When Kafka has none of them any more,
 * the email is erased, too. Belongs to the sync role, where DB2 is configured. One process at a time works on an erasure.
 */
@Injectable()
export class ErasureWorker implements OnApplicationBootstrap {
  private readonly logger = new Logger('erasure');
  private readonly stopping = new AbortController();
  private readonly kafka: KafkaSettings;
  private readonly timings: ErasureTimings;
  private running: Promise<void> | undefined;
  /** The last line about each erasure that waits, so that it is logged once. */
  private readonly waiting = new Map<number, string>();
  private failure: string | undefined;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(DB2) private readonly db2: Database,
    @Inject(SETTINGS) settings: Settings,
    @Inject(TIMINGS) private readonly allTimings: Timings,
  ) {
    this.kafka = settings.kafka!;
    this.timings = allTimings.erasure;
  }

  onApplicationBootstrap(): void {
    this.running = this.run(this.stopping.signal);
  }

  async stop(): Promise<void> {
    this.stopping.abort(new Error('The process is stopping'));
    await this.running;
  }

  private async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.db1.ready, this.db2.ready]).catch(() => undefined);
    let checkAt = 0;
    while (!signal.aborted) {
      const isCheckDue = performance.now() >= checkAt;
      if (isCheckDue) checkAt = performance.now() + this.timings.topicPollMs;
      try {
        await this.work(isCheckDue, signal);
        this.failure = undefined;
      } catch (error) {
        if (!signal.aborted) this.noteFailure((error as Error).message);
      }
      await sleep(this.timings.pollMs, signal);
    }
  }

  /** The same failure is logged once. */
  private noteFailure(failure: string): void {
    if (failure !== this.failure) {
      this.logger.warn({ code: 'erasures-waiting', message: `Erasures wait: ${failure}. Trying again every ${this.timings.pollMs} ms.` });
    }
    this.failure = failure;
  }

  private async work(isCheckDue: boolean, signal: AbortSignal): Promise<void> {
    const open = await readOpenErasures(queryOf(this.db1.dataSource), isCheckDue);
    const requested = open.filter((erasure) => erasure.erased_at === null || isOutdated(erasure));
    if (requested.length > 0) {
      const { db1, db2, allTimings } = this;
      const timings = { timings: allTimings.reconciliation, kafkaTimings: allTimings.kafka };
      await waitUntilApplied({ db1: db1.dataSource, db2: db2.dataSource, kafka: this.kafka, ...timings, signal });
    }
    for (const erasure of requested) await this.erase(erasure.id, versionOf(erasure));
    const waiting = open.filter((erasure) => !requested.includes(erasure));
    const topic = new TopicBeginnings(this.kafka, this.allTimings.kafka);
    for (const erasure of waiting) await this.checkTopic(erasure, topic);
  }

  /** Erases everything that does not guard the order, up to a version that has reached DB2. A later one is left to the next round. */
  private erase(id: number, version: number): Promise<void> {
    return this.db1.dataSource.transaction(async (manager) => {
      const query = queryOf(manager);
      const erasure = await lockErasure(query, id);
      if (!erasure || versionOf(erasure) !== version) return;
      if (version !== erasure.version) await restartErasure(query, id, version);
      if (await this.isInReplica(erasure.email, version)) {
        this.noteWaiting(id, 'DB2 still has the row. A dead letter of the email says why, or the next comparison deletes it');
        return;
      }
      await this.eraseUpTo({ ...erasure, version }, manager, true);
      await storeErased(query, id, await observeTopic(this.kafka, this.allTimings.kafka, new Date()));
      this.waiting.delete(id);
      this.logger.log({
        code: 'erasure-applied',
        message: `Erasure ${id}: everything is erased but the email and its last version, until Kafka holds no record of it`,
      });
    });
  }

  /** Whether DB2 has a row of the email that is not newer than the version. */
  private async isInReplica(email: string, version: number): Promise<boolean> {
    const { dataSource, table } = this.db2;
    const [state] = await readReplicaStates(dataSource, table, "''", [{ email, written: email }]);
    return state !== undefined && state.value !== null && state.version <= version;
  }

  /** DB2 comes first: DB1's log has to know the versions that DB2 has. */
  private async eraseUpTo(erasure: OpenErasure, manager: Parameters<typeof queryOf>[0], keepVersion: boolean): Promise<void> {
    const { email, version, newest, requested_at: requestedAt } = erasure;
    const query = queryOf(manager);
    const isBack = newest !== null && newest > version;
    const [{ written }] = (await query<{ written: string }>('SELECT subscription_sync.written_key($1) AS written', [email])) as [
      { written: string },
    ];
    await eraseFromReplica(this.db2.dataSource, { email, version, keepVersion, lettersUntil: isBack ? requestedAt : null });
    await eraseFromReconciliation(query, queryOf(this.db2.dataSource), [email, written]);
    await eraseUnpublishable(query, email, version);
    await eraseChanges(query, email, version, keepVersion);
  }

  /**
   * Erases the email itself once Kafka has no record of it. For `settleMs` after the first step, the offsets are observed anew: a capture that
   * starts again publishes the last changes once more.
   */
  private async checkTopic({ id, erased_at: erasedAt, kafka }: OpenErasure, topic: TopicBeginnings): Promise<void> {
    const settles = Date.now() - erasedAt!.getTime() < this.timings.settleMs;
    if (!settles && !(await topic.areBeyond(kafka!))) return;
    await this.db1.dataSource.transaction(async (manager) => {
      const query = queryOf(manager);
      const erasure = await lockErasure(query, id);
      if (!erasure || erasure.erased_at === null || isOutdated(erasure)) return;
      if (settles) {
        await storeErased(query, id, await observeTopic(this.kafka, this.allTimings.kafka, erasedAt!));
        return;
      }
      await this.eraseUpTo(erasure, manager, false);
      await completeErasure(query, id);
      this.logger.log({ code: 'erasure-complete', message: `Erasure ${id} is complete` });
    });
  }

  private noteWaiting(id: number, reason: string): void {
    if (this.waiting.get(id) !== reason) this.logger.warn({ code: 'erasure-waiting', message: `Erasure ${id} waits: ${reason}.` });
    this.waiting.set(id, reason);
  }
}

/** Returns the version up to which an erasure goes. */
function versionOf(erasure: OpenErasure): number {
  return isOutdated(erasure) ? erasure.newest! : erasure.version;
}

/** Whether the email was deleted once more since: that deletion, a repair for example, is part of the erasure. */
function isOutdated({ version, newest, deleted }: OpenErasure): boolean {
  return newest !== null && newest > version && deleted === true;
}
