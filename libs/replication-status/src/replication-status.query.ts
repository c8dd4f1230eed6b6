import { Inject, Injectable, NotFoundException, Optional } from '@nestjs/common';
import { SETTINGS, type Settings } from '#config';
import { BUSINESS_COLUMN_LIST, BUSINESS_COLUMN_NAMES } from '#events';
import { fetchTopicOffsets, partitionByKey } from '#kafka';
import { type Database, DatabaseUnavailableError, DB1, DB2 } from '#postgres';
import { normalised } from './replica-read.query.js';
import {
  type AppliedView,
  type DeadLetterView,
  replicationState,
  type ReplicationState,
  type ReplicationView,
  type Side,
} from './replication-status.dto.js';

/** After Kafka did not answer it is not asked again for so long, ms: it is only asked for details. */
const LEFT_ALONE_MS = 5_000;

type TopicOffsets = ReadonlyMap<number, { readonly first: number; readonly end: number }>;

/** The topic, where this process knows Kafka: beside a sync or replica role. */
@Injectable()
export class TopicEndOffsets {
  private partitions: number | undefined;
  private leaveAloneUntil = 0;

  constructor(@Inject(SETTINGS) private readonly settings: Settings) {}

  get topic(): string | undefined {
    return this.settings.kafka?.topic;
  }

  /** Undefined where Kafka is not known, or does not answer. */
  async fetch(): Promise<TopicOffsets | undefined> {
    const kafka = this.settings.kafka;
    if (!kafka || performance.now() < this.leaveAloneUntil) return undefined;
    try {
      const offsets = await fetchTopicOffsets(kafka);
      this.partitions = offsets.size || undefined;
      return offsets;
    } catch {
      this.leaveAloneUntil = performance.now() + LEFT_ALONE_MS;
      return undefined;
    }
  }

  /** The partition of an email. Undefined until the topic is known. */
  async partitionOf(email: string): Promise<number | undefined> {
    if (this.partitions === undefined) await this.fetch();
    if (this.partitions === undefined) return undefined;
    const partitionMetadata = Array.from({ length: this.partitions }, (_, partitionId) => ({
      partitionId,
      partitionErrorCode: 0,
      leader: 0,
      replicas: [],
      isr: [],
    }));
    return partitionByKey()({ topic: this.topic!, message: { key: email, value: null }, partitionMetadata });
  }
}

interface Db1Status {
  readonly email: string;
  readonly version: number | null;
  readonly live: boolean;
  readonly operation: string | null;
  readonly changed_at: string | null;
  readonly lag_ms: number | null;
  readonly captured: boolean | null;
  readonly captured_by: string | null;
  readonly unpublishable: string | null;
  readonly confirmed: boolean;
  readonly content: string | null;
}

/** What DB2 knows of an email, and of the record that was to bring it up to date. */
interface Db2Status {
  readonly side: Side | undefined;
  readonly letter: DeadLetterView | undefined;
  readonly passed: boolean;
}

const DETAILS: Readonly<Record<ReplicationState, string>> = {
  in_sync: 'Database 2 is as Database 1 is',
  in_flight: 'The change is on its way to Database 2',
  dead_lettered: 'The record of the change was put aside. A newer change of this subscription heals it',
  drifted: 'Database 2 differs, and nothing is on its way. The next comparison of both databases repairs it',
  unknown: 'This process does not know Database 2 (DB2_HOST is not set), or it does not answer',
};

/** Where the last change of a subscription is. */
@Injectable()
export class ReplicationStatus {
  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly topic: TopicEndOffsets,
    @Optional() @Inject(DB2) private readonly db2?: Database,
  ) {}

  /** Fails with 404 when neither database has the subscription, nor the log a change of it. */
  async of(email: string): Promise<ReplicationView> {
    // DB2 before DB1, see replicationState.
    const first = await this.ifAnswers((db2) => this.sideInDb2(db2, normalised(email)));
    const [row] = (await this.db1.query<Db1Status>(SELECT_DB1_STATUS, [email, first?.side?.version ?? 0])) as [Db1Status];
    const db1 = row.version === null ? undefined : { version: row.version, live: row.live, content: row.content };
    if (!db1 && !first?.side?.live) throw new NotFoundException('No subscription with this email, now or in the change log');

    const behind = first !== undefined && (db1?.version ?? 0) > (first.side?.version ?? 0);
    const look = behind ? await this.ifAnswers((db2) => this.whyBehind(db2, first, row)) : first;
    const deadLettered = look?.letter !== undefined || row.unpublishable !== null;
    const state = look ? replicationState({ db1, db2: look.side, deadLettered, passed: look.passed || row.confirmed }) : 'unknown';

    const partition = look?.letter?.partition ?? (await this.topic.partitionOf(row.email)) ?? null;
    const arrived = db1 !== undefined && (look?.side?.version ?? 0) >= db1.version;
    return {
      email: row.email,
      state,
      detail: row.unpublishable ?? DETAILS[state],
      database1: db1 ? { version: db1.version, deleted: !db1.live, operation: row.operation, changed_at: row.changed_at } : null,
      database2: look?.side ? { version: look.side.version, deleted: !look.side.live } : null,
      published:
        row.captured === true || arrived || look?.letter
          ? {
              topic: look?.letter?.topic ?? this.topic.topic ?? null,
              partition,
              offset: look?.letter?.offset ?? null,
              at_latest: row.captured_by,
            }
          : null,
      applied: (await this.ifAnswers((db2) => this.position(db2, partition))) ?? null,
      lag_ms: state === 'in_sync' ? 0 : state === 'unknown' || row.lag_ms === null ? null : Math.max(0, Math.round(row.lag_ms)),
      dead_letter: look?.letter ?? null,
    };
  }

  private async sideInDb2(db2: Database, email: string): Promise<Db2Status> {
    const [side] = await db2.query<Side>(SELECT_DB2_STATUS, [email]);
    return { side, letter: undefined, passed: false };
  }

  /** Everything that was on Kafka when it was: when that is applied, and DB2 is still without it, it does not come any more. */
  private async whyBehind(db2: Database, before: Db2Status, { email, version, captured }: Db1Status): Promise<Db2Status> {
    const letters = await db2.query<DeadLetterView & { value: Buffer | null }>(DEAD_LETTERS, [email]);
    const found = letters.find(({ value }) => versionIn(value) === version);
    if (found) {
      const { value: _, ...letter } = found;
      return { ...before, letter };
    }
    const ends = captured === true ? await this.topic.fetch() : undefined;
    const partition = ends && (await this.topic.partitionOf(email));
    const place = partition === undefined ? undefined : ends?.get(partition);
    if (!place) return before;
    const position = await this.position(db2, partition ?? null);
    if (Math.max((position?.offset ?? -1) + 1, place.first) < place.end) return before;
    const now = await this.sideInDb2(db2, email);
    // A newer one: DB1 is looked at no more.
    return (now.side?.version ?? 0) > version! ? before : { ...now, passed: true };
  }

  private async position(db2: Database, partition: number | null): Promise<AppliedView | undefined> {
    if (partition === null || this.topic.topic === undefined) return undefined;
    const [position] = await db2.query<AppliedView>(POSITION, [this.topic.topic, partition]);
    return position;
  }

  /** Undefined when DB2 is not known, or does not answer. */
  private async ifAnswers<T>(ask: (db2: Database) => Promise<T>): Promise<T | undefined> {
    try {
      return this.db2 && (await ask(this.db2));
    } catch (error) {
      if (error instanceof DatabaseUnavailableError) return undefined;
      throw error;
    }
  }
}

/** The version that a record names. Undefined when it is no event. */
function versionIn(value: Buffer | null): number | undefined {
  try {
    return Number((JSON.parse(String(value)) as { id?: unknown }).id);
  } catch {
    return undefined;
  }
}

/**
 * What DB1 knows of an email ($1) when DB2 has version $2 of it: one row. A version that the log does not have any more is the row's own.
 *
 * - `pending_since`: when the first change was made that is newer than what DB2 has; `lag_ms`: how long ago.
 * - `captured`: whether the last change is known to be on Kafka: the checkpoint covers its transaction. It follows a moment later.
 * - `unpublishable`: why Kafka never takes that change.
 * - `confirmed`: a comparison found this version different, and did not repair it.
 */
const SELECT_DB1_STATUS = `
WITH k AS (SELECT subscription_email($1) AS email),
last AS (
  SELECT c.version, c.operation, c.occurred_at, c.txid FROM k JOIN subscription_changes c ON c.email = k.email ORDER BY c.version DESC LIMIT 1
), pending AS (
  SELECT c.occurred_at FROM k JOIN subscription_changes c ON c.email = k.email WHERE c.version > $2 ORDER BY c.version LIMIT 1
), checkpoint AS (
  SELECT published_snapshot AS snapshot, updated_at FROM sync_checkpoint
)
SELECT k.email, greatest(s.version, last.version) AS version, s.email IS NOT NULL AS live, last.operation,
  to_json(coalesce(last.occurred_at, s.updated_at)) #>> '{}' AS changed_at,
  (extract(epoch FROM clock_timestamp() - coalesce((SELECT occurred_at FROM pending), s.updated_at)) * 1000)::float8 AS lag_ms,
  (SELECT pg_visible_in_snapshot(last.txid, snapshot) FROM checkpoint) AS captured,
  (SELECT to_json(updated_at) #>> '{}' FROM checkpoint WHERE pg_visible_in_snapshot(last.txid, snapshot)) AS captured_by,
  (SELECT u.error FROM unpublishable_changes u WHERE u.version = last.version) AS unpublishable,
  EXISTS (
    SELECT FROM reconciliation_differences d
    WHERE d.run = (SELECT max(id) FROM reconciliation_runs WHERE finished_at IS NOT NULL) AND d.email = k.email AND d.state = 'confirmed'
      AND d.version_in_db1 IS NOT DISTINCT FROM nullif(s.version, 0) AND coalesce(d.version_in_db2, 0) = $2
  ) AS confirmed,
  CASE WHEN s.email IS NOT NULL THEN jsonb_build_array(${BUSINESS_COLUMN_NAMES.map((name) => `s.${name}`).join(', ')})::text END AS content
FROM k LEFT JOIN subscriptions s ON s.email = k.email LEFT JOIN last ON true`;

/** What DB2 has of an email ($1). Times as DB1 shows them, whatever the column's type. */
const SELECT_DB2_STATUS = `
SELECT version, tombstoned_at IS NULL AS live,
  CASE WHEN tombstoned_at IS NULL THEN jsonb_build_array(${BUSINESS_COLUMN_LIST.map(([name, { kind }]) => (kind === 'instant' ? `${name}::timestamptz` : name)).join(', ')})::text END AS content
FROM replicated_subscriptions WHERE email = $1`;

/** The newest records of an email ($1) that are put aside and wait for somebody. */
const DEAD_LETTERS = `
SELECT id, topic, partition, "offset", error_class, value FROM dead_letters
WHERE state = 'open' AND key = convert_to($1, 'UTF8') ORDER BY id DESC LIMIT 5`;

/** How far a partition is applied. */
const POSITION = `
SELECT "offset", version, to_json(applied_at) #>> '{}' AS applied_at FROM replica_positions WHERE topic = $1 AND partition = $2`;
