import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { KafkaSettings } from '#config';
import { fetchTopicOffsets } from '#kafka';
import { highestApplied, nextOffsets } from './wait-until-applied.js';

const POLL_INTERVAL_MS = 1_000;
/** While it yields: what waits is applied within a second. */
const LOOK_AGAIN_MS = 100;
/** A run that yields for longer would never end beside a stream that is always behind. */
const YIELDS_MS = 10_000;
/** An answer that takes longer comes from a database that has enough to do, ms. */
const SLOW_MS = 100;
/** About a second of the stream. */
const MAX_WAITING_CHANGES = 20_000;

/** Counted up to the bound. Not from the checkpoint: that is stored every few seconds, in which more changes than this may pass. */
const ABOVE = `SELECT count(*)::int AS changes FROM (SELECT FROM subscription_changes WHERE version > $1 LIMIT ${MAX_WAITING_CHANGES + 1}) waiting`;

/** Whether the stream and the databases have time for a run. */
export class Throttle {
  private lookedAt = -Infinity;

  constructor(
    private readonly db1: DataSource,
    private readonly db2: DataSource,
    private readonly kafka: KafkaSettings,
  ) {}

  /** Resolves at once when nothing is behind or slow, and no later than after 10 s. Rejects when `signal` aborts. */
  async whenCaughtUp(signal: AbortSignal): Promise<void> {
    const until = performance.now() + YIELDS_MS;
    while (performance.now() - this.lookedAt > POLL_INTERVAL_MS && (await this.isBusy()) && performance.now() < until) {
      await delay(LOOK_AGAIN_MS, undefined, { signal });
    }
    this.lookedAt = performance.now();
  }

  private async isBusy(): Promise<boolean> {
    const answers = await Promise.all([this.db1, this.db2].map(timeToAnswer));
    return answers.some((ms) => ms > SLOW_MS) || (await this.logged()) > MAX_WAITING_CHANGES || (await this.unread()) > MAX_WAITING_CHANGES;
  }

  /** Changes of the log above all that DB2 has. */
  private async logged(): Promise<number> {
    const [{ changes }] = await this.db1.query<[{ changes: number }]>(ABOVE, [await highestApplied(this.db2, this.kafka)]);
    return changes;
  }

  /** Records of the topic that DB2 has not taken: of one partition, too, when the others are further. */
  private async unread(): Promise<number> {
    const next = await nextOffsets(this.db2, this.kafka);
    const ends = await fetchTopicOffsets(this.kafka);
    return [...ends].reduce((sum, [partition, { first, end }]) => sum + Math.max(0, end - Math.max(first, next.get(partition) ?? 0)), 0);
  }
}

async function timeToAnswer(database: DataSource): Promise<number> {
  const started = performance.now();
  await database.query('SELECT 1');
  return performance.now() - started;
}
