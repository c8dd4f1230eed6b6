import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { type Change, maintainPartitions } from '#change-log';
import { retry, SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { type Database, DB1, type Query, withMaintenanceTimeout } from '#postgres';
import type { Capture } from './capture.js';
import { chooseCapture } from './choose-capture.js';
import { LeaderLease } from './leader-lease.js';
import { Publisher } from './publisher.js';
import { recordExistingRows } from './existing-rows.js';
import { SyncMetrics } from './sync-metrics.js';

export type RelayState = 'waiting' | 'standby' | 'running' | 'stopped';

/**
 * The sync role: capture → publish → checkpoint, for as long as the process lives. Any error of the database ends a session, and the next
 * one continues from the stored checkpoint. Errors of Kafka only make a session wait.
 */
@Injectable()
export class Relay implements OnApplicationBootstrap {
  private readonly logger = new Logger('sync');
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private currentSession: AbortController | undefined;
  state: RelayState = 'waiting';
  /** Why the last session ended, until the next one captures. */
  failure: string | undefined;
  /** Whether changes are on their way to Kafka. */
  isPublishing = false;
  /** Is awaited before a session publishes its first change. It never rejects, and ends soon after its signal has aborted. */
  beforePublishing: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  /** The capture of the current session. */
  capture: Capture | undefined;
  /** The change of the highest version that this process has read from DB1's log. */
  highestCaptured: Pick<Change, 'version' | 'occurredAt'> | undefined;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(SETTINGS) private readonly settings: Settings,
    @Inject(TIMINGS) private readonly timings: Timings,
    private readonly publisher: Publisher,
    private readonly metrics: SyncMetrics,
  ) {}

  onApplicationBootstrap(): void {
    this.running = this.run(this.stopping.signal);
  }

  /** Finishes the batch in flight, stores the position and releases the lease, so that a standby takes over at once. */
  async stop(): Promise<void> {
    this.stopping.abort(new Error('The process is stopping'));
    await this.running;
    await this.publisher.close();
    this.state = 'stopped';
  }

  /** Ends the session, whatever it waits for. The next one continues from the checkpoint. */
  restart(): void {
    this.currentSession?.abort(new Error('it is restarted'));
  }

  private async run(stop: AbortSignal): Promise<void> {
    const backoff = this.timings.sync.sessionRetry;
    const onFailure = ({ message }: Error, pauseMs: number): void => {
      this.failure = message;
      this.logger.error({
        code: 'capture-stopped',
        message: `The capture of DB1 stopped: ${message}. It continues from the checkpoint in ${pauseMs} ms.`,
      });
    };
    while (!stop.aborted) {
      await retry(() => this.runSession(stop), { backoff, signal: stop, onFailure, resetAfterMs: backoff.longestMs }).catch(
        () => undefined,
      );
    }
  }

  /** A session lasts from taking the lease until an error, a stop, or the time to try a better capture. */
  private async runSession(stop: AbortSignal): Promise<void> {
    await this.db1.ready;
    const db1 = this.settings.db1!;
    const timings = this.timings.sync;
    const lease = new LeaderLease(db1, timings);
    const ended = new AbortController();
    this.currentSession = ended;
    const signal = AbortSignal.any([stop, lease.signal, ended.signal]);
    const backgroundTasks: Promise<unknown>[] = [];
    let capture: Capture | undefined;
    try {
      await lease.acquire(signal, () => this.enterStandby());
      // They reject when the signal aborts, maybe long before this session notices: a rejection without a handler would end the process.
      backgroundTasks.push(
        this.recordExistingRows(signal).catch(() => undefined),
        maintainPartitions(this.db1.dataSource, this.settings.logRetentionDays, this.timings.changeLog, signal).catch(() => undefined),
      );
      const checked = this.beforePublishing(signal);
      capture = await chooseCapture(lease.client, db1, this.settings.capture, timings, (problem) => this.metrics.slotReplaced(problem));
      await checked;
      this.enterRunning(capture);
      await this.relay(capture, signal);
      lease.signal.throwIfAborted();
    } catch (error) {
      // If the lease was lost, that is the cause, and not what failed without it.
      lease.signal.throwIfAborted();
      throw error;
    } finally {
      ended.abort();
      this.isPublishing = false;
      this.capture = undefined;
      this.state = 'waiting';
      await Promise.race([Promise.all(backgroundTasks), delay(timings.backgroundGraceMs, undefined, { ref: false })]);
      await capture
        ?.close()
        .catch((error: unknown) =>
          this.logger.warn({ code: 'checkpoint-not-stored', message: `The checkpoint was not stored: ${(error as Error).message}` }),
        );
      await lease.release().catch(() => undefined);
    }
  }

  private async relay(capture: Capture, signal: AbortSignal): Promise<void> {
    for await (const changes of capture.batches(signal)) {
      this.metrics.captured(changes);
      for (const { version, occurredAt } of changes) {
        if (version > (this.highestCaptured?.version ?? 0)) this.highestCaptured = { version, occurredAt };
      }
      this.isPublishing = true;
      const refused = await this.publisher.publish(changes, signal);
      if (refused.length > 0) await this.storeUnpublishable(refused);
      this.isPublishing = false;
      await capture.published(changes.length);
      this.metrics.published(changes);
    }
  }

  /** Stores the changes that Kafka refuses, before the position moves past them. */
  private async storeUnpublishable(refused: readonly Change[]): Promise<void> {
    this.metrics.unpublishable(refused.length);
    for (const { version, email, event } of refused) {
      const error = `${event.length} bytes are more than Kafka's topic takes in one record`;
      await this.db1.query(
        'INSERT INTO subscription_sync.unpublishable_changes (version, email, bytes, error) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
        [version, email, event.length, error],
      );
      this.logger.error({
        code: 'change-unpublishable',
        message: `Change ${version} is not published: ${error}. DB2 lacks it until the row becomes smaller.`,
      });
    }
  }

  private async recordExistingRows(signal: AbortSignal): Promise<void> {
    const all = this.settings.db2 === undefined;
    const record = (): Promise<number> =>
      withMaintenanceTimeout(this.db1.dataSource, (manager) => recordExistingRows(manager, this.db1.table, all, signal));
    const onFailure = ({ message }: Error, pauseMs: number): void =>
      this.logger.error({
        code: 'row-recording-failed',
        message: `Not all existing rows of DB1 were recorded: ${message}. Trying again in ${pauseMs} ms.`,
      });
    const rows = await retry(record, { backoff: this.timings.sync.sessionRetry, signal, onFailure });
    if (rows > 0)
      this.logger.log({ code: 'rows-recorded', message: `Rows of DB1 that the change log did not know were recorded: ${rows}` });
  }

  private enterStandby(): void {
    this.state = 'standby';
    this.logger.log({ code: 'capture-standby', message: 'Another process captures DB1; standing by' });
  }

  private enterRunning(capture: Capture): void {
    this.state = 'running';
    this.failure = undefined;
    this.capture = capture;
    this.logger.log({ code: 'capture-running', message: `Capturing DB1 by ${capture.mode}` });
  }
}

/** Erases an email from the changes up to a version that Kafka refused (ADR 34). */
export async function eraseUnpublishable(db1: Query, email: string, version: number): Promise<void> {
  await db1('DELETE FROM subscription_sync.unpublishable_changes WHERE email = $1 AND version <= $2', [email, version]);
}
