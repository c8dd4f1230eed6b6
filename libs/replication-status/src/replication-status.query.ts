import { Inject, Injectable, NotFoundException, Optional } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { escapeIdentifier } from 'pg';
import { SELECT_CHECKPOINT, selectNewestChange, selectNextChange } from '#change-log';
import { type MappingSettings, SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { BUSINESS_COLUMN_LIST, type BusinessColumn } from '#events';
import { fetchTopicOffsets, partitionByKey } from '#kafka';
import { columnOf, type Database, DatabaseUnavailableError, DB1, DB2, type SubscriptionTable, hasKey } from '#postgres';
import { normaliseEmail } from '#subscriptions';
import {
  type AppliedView,
  type DeadLetterReference,
  replicationState,
  type ReplicationState,
  type ReplicationView,
  type Side,
} from './replication-status.dto.js';

type TopicOffsets = ReadonlyMap<number, { readonly first: number; readonly end: number }>;

/** Reads the topic's offsets. Only a process with a sync or replica role is connected to Kafka. */
@Injectable()
export class TopicEndOffsets {
  private partitions: number | undefined;
  /** Time before which Kafka is not queried again, because the last query failed. */
  private retryAt = 0;

  constructor(
    @Inject(SETTINGS) private readonly settings: Settings,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  get topic(): string | undefined {
    return this.settings.kafka?.topic;
  }

  /** Returns undefined when this process is not connected to Kafka, or Kafka does not respond. */
  async fetch(): Promise<TopicOffsets | undefined> {
    const kafka = this.settings.kafka;
    if (!kafka || performance.now() < this.retryAt) return undefined;
    try {
      const offsets = await fetchTopicOffsets(kafka, this.timings.kafka);
      this.partitions = offsets.size || undefined;
      return offsets;
    } catch {
      this.retryAt = performance.now() + this.timings.replicationStatus.kafkaRetryMs;
      return undefined;
    }
  }

  /** Returns the partition of an email, or undefined until the number of partitions is known. */
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

/** State of an email in DB2, and of the record with the change that DB2 lacks. */
interface Db2Status {
  readonly side: Side | undefined;
  readonly letter: DeadLetterReference | undefined;
  readonly passed: boolean;
}

const DETAILS: Readonly<Record<ReplicationState, string>> = {
  in_sync: 'Database 2 has the same version and values as Database 1',
  in_flight: 'The change is on its way to Database 2',
  dead_lettered: 'The record of the change was dead-lettered. The next change of this subscription replaces it',
  drifted: 'Database 2 differs from Database 1, and no change is on its way. The next reconciliation run repairs it',
  unknown: 'Database 2 does not respond, or this process is not connected to it (DB2_HOST is not set)',
};

/**
 * Reads how far the last change of a subscription has come on its way to DB2. Fails with 404 when neither database has the subscription and
 * the change log has no change of it.
 */
export class GetReplicationStatusQuery extends Query<ReplicationView> {
  constructor(readonly email: string) {
    super();
  }
}

@QueryHandler(GetReplicationStatusQuery)
export class GetReplicationStatusHandler implements IQueryHandler<GetReplicationStatusQuery> {
  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly topic: TopicEndOffsets,
    @Inject(SETTINGS) private readonly settings: Settings,
    @Optional() @Inject(DB2) private readonly db2?: Database,
  ) {}

  async execute({ email }: GetReplicationStatusQuery): Promise<ReplicationView> {
    // DB2 is read before DB1, as replicationState requires.
    const inDb2 = await this.queryDb2((db2) => this.sideInDb2(db2, normaliseEmail(email)));
    const [row] = (await this.db1.query<Db1Status>(selectDb1Status(this.db1.table, this.compared()), [
      email,
      inDb2?.side?.version ?? 0,
    ])) as [Db1Status];
    const db1 = row.version === null ? undefined : { version: row.version, live: row.live, content: row.content };
    if (!db1 && !inDb2?.side?.live) throw new NotFoundException('No subscription has this email, and the change log has no change of it');

    const behind = inDb2 !== undefined && (db1?.version ?? 0) > (inDb2.side?.version ?? 0);
    const status = behind ? await this.queryDb2((db2) => this.whyBehind(db2, inDb2, row)) : inDb2;
    const deadLettered = status?.letter !== undefined || row.unpublishable !== null;
    const state = status ? replicationState({ db1, db2: status.side, deadLettered, passed: status.passed || row.confirmed }) : 'unknown';

    const partition = status?.letter?.partition ?? (await this.topic.partitionOf(row.email)) ?? null;
    const arrived = db1 !== undefined && (status?.side?.version ?? 0) >= db1.version;
    return {
      email: row.email,
      state,
      detail: row.unpublishable ?? DETAILS[state],
      database1: db1 ? { version: db1.version, deleted: !db1.live, operation: row.operation, changed_at: row.changed_at } : null,
      database2: status?.side ? { version: status.side.version, deleted: !status.side.live } : null,
      published:
        row.captured === true || arrived || status?.letter
          ? {
              topic: status?.letter?.topic ?? this.topic.topic ?? null,
              partition,
              offset: status?.letter?.offset ?? null,
              at_latest: row.captured_by,
            }
          : null,
      applied: (await this.queryDb2((db2) => this.position(db2, partition))) ?? null,
      lag_ms: state === 'in_sync' ? 0 : state === 'unknown' || row.lag_ms === null ? null : Math.max(0, Math.round(row.lag_ms)),
      dead_letter: status?.letter ?? null,
    };
  }

  /** Returns the columns that are compared. While DB2 is not known the state is `unknown`, and nothing is compared. */
  private compared(): ComparedColumn[] {
    return comparedColumns(this.db1.table, this.db2?.isDescribed ? this.db2.table : undefined, this.settings.mapping.columns);
  }

  private async sideInDb2(db2: Database, email: string): Promise<Db2Status> {
    const [side] = await db2.query<Side>(selectDb2Status(db2.table, this.compared()), [email]);
    return { side, letter: undefined, passed: false };
  }

  /** Determines why DB2 lacks a change. When everything that was on Kafka with the change is applied, DB2 will not receive it any more. */
  private async whyBehind(db2: Database, before: Db2Status, { email, version, captured }: Db1Status): Promise<Db2Status> {
    const letters = await db2.query<DeadLetterReference & { value: Buffer | null }>(SELECT_DEAD_LETTERS, [email]);
    const found = letters.find(({ value }) => versionIn(value) === version);
    if (found) {
      const { value: _, ...letter } = found;
      return { ...before, letter };
    }
    const offsets = captured === true ? await this.topic.fetch() : undefined;
    const partition = offsets && (await this.topic.partitionOf(email));
    const range = partition === undefined ? undefined : offsets?.get(partition);
    if (!range) return before;
    const position = await this.position(db2, partition ?? null);
    if (Math.max((position?.offset ?? -1) + 1, range.first) < range.end) return before;
    const now = await this.sideInDb2(db2, email);
    // DB2 has a newer version by now, and DB1 is not read again: the change is no longer behind.
    return (now.side?.version ?? 0) > version! ? before : { ...now, passed: true };
  }

  private async position(db2: Database, partition: number | null): Promise<AppliedView | undefined> {
    if (partition === null || this.topic.topic === undefined) return undefined;
    const [position] = await db2.query<AppliedView>(SELECT_POSITION, [this.topic.topic, partition]);
    return position;
  }

  /** Runs a query of DB2. Returns undefined when DB2 is not configured or does not respond. */
  private async queryDb2<T>(query: (db2: Database) => Promise<T>): Promise<T | undefined> {
    try {
      return this.db2 && (await query(this.db2));
    } catch (error) {
      if (error instanceof DatabaseUnavailableError) return undefined;
      throw error;
    }
  }
}

/** Returns the version in a record, or undefined when the record is not an event. */
function versionIn(value: Buffer | null): number | undefined {
  try {
    return Number((JSON.parse(String(value)) as { id?: unknown }).id);
  } catch {
    return undefined;
  }
}

/**
 * Builds the statement that selects the state of an email ($1) in DB1 as one row, given the version ($2) that DB2 has.
 *
 * - `lag_ms`: time since the first change that is newer than the version in DB2.
 * - `captured`: whether the last change is known to be on Kafka, because the checkpoint covers its transaction. The checkpoint follows the
 *   acknowledgement a moment later.
 * - `unpublishable`: the reason why Kafka cannot accept the change.
 * - `confirmed`: whether a reconciliation run found this version to differ and did not repair it.
 * - `content`: the values of the columns that are compared with DB2.
 */
function selectDb1Status(table: SubscriptionTable, compared: readonly ComparedColumn[]): string {
  const { sql, key } = table;
  const updatedAt = columnOf(table, 'updated_at');
  const touched = updatedAt?.typeOfAnyLength.startsWith('timestamp') ? 's.updated_at' : 'NULL::timestamptz';
  return `
WITH k AS (SELECT n.email, subscription_sync.existing_key(n.email) AS written FROM subscription_sync.normalize_email($1) n(email)),
last AS (
  SELECT l.* FROM k, LATERAL (${selectNewestChange('k.email', 'c.version, c.operation, c.occurred_at, c.txid')}) l
), pending AS (
  SELECT n.* FROM k, LATERAL (${selectNextChange('k.email', '$2', 'c.occurred_at')}) n
), checkpoint AS (
  ${SELECT_CHECKPOINT}
)
SELECT k.email, coalesce(last.version, CASE WHEN s.${key} IS NOT NULL THEN 0 END) AS version, s.${key} IS NOT NULL AS live, last.operation,
  to_json(coalesce(last.occurred_at, ${touched})) #>> '{}' AS changed_at,
  (extract(epoch FROM clock_timestamp() - coalesce((SELECT occurred_at FROM pending), ${touched})) * 1000)::float8 AS lag_ms,
  (SELECT pg_visible_in_snapshot(last.txid, snapshot) FROM checkpoint) AS captured,
  (SELECT to_json(updated_at) #>> '{}' FROM checkpoint WHERE pg_visible_in_snapshot(last.txid, snapshot)) AS captured_by,
  (SELECT u.error FROM subscription_sync.unpublishable_changes u WHERE u.version = last.version) AS unpublishable,
  EXISTS (
    SELECT FROM subscription_sync.reconciliation_differences d
    WHERE d.run = (SELECT max(id) FROM subscription_sync.reconciliation_runs WHERE finished_at IS NOT NULL) AND d.email = k.email AND d.state = 'confirmed'
      AND d.version_in_db1 IS NOT DISTINCT FROM last.version AND coalesce(d.version_in_db2, 0) = $2
  ) AS confirmed,
  ${contentOf(key, compared, 'db1')} AS content
FROM k LEFT JOIN ${sql} s ON ${hasKey(table, 's', 'k.written')} LEFT JOIN last ON true`;
}

/** Builds the statement that selects the state of an email ($1) in DB2, if it knows it. The table may have the email in another spelling. */
function selectDb2Status(table: SubscriptionTable, compared: readonly ComparedColumn[]): string {
  const { sql, key, keyColumn } = table;
  return `
SELECT coalesce(a.version, 0) AS version, s.${key} IS NOT NULL AS live, ${contentOf(key, compared, 'db2')} AS content
FROM (VALUES (true)) one
LEFT JOIN subscription_sync.applied a ON a.email = $1
LEFT JOIN ${sql} s ON ${hasKey(table, 's', `coalesce(a.written, $1)::${keyColumn.typeOfAnyLength}`)}
WHERE a.email IS NOT NULL OR s.${key} IS NOT NULL`;
}

/** A business column that is replicated, in both databases. */
interface ComparedColumn {
  readonly db1: string;
  readonly db2: string;
  readonly kind: BusinessColumn['kind'];
}

/** Returns the business columns that both tables have and that are replicated. None while the table of DB2 is not known. */
function comparedColumns(db1: SubscriptionTable, db2: SubscriptionTable | undefined, pairs: MappingSettings['columns']): ComparedColumn[] {
  if (!db2) return [];
  return BUSINESS_COLUMN_LIST.flatMap(([name, { kind }]) => {
    const replicated = name === 'status' || !pairs ? name : pairs.find((pair) => pair.db1 === name)?.db2;
    const [source, target] = [columnOf(db1, name), replicated === undefined ? undefined : columnOf(db2, replicated)];
    return source && target ? [{ db1: source.name, db2: target.name, kind }] : [];
  });
}

/** Returns the values of a row as SQL text, NULL without a row. Times are cast, so that they print alike whatever the types of the columns. */
function contentOf(key: string, compared: readonly ComparedColumn[], side: 'db1' | 'db2'): string {
  const values = compared.map((column) => `s.${escapeIdentifier(column[side])}${column.kind === 'instant' ? '::timestamptz' : ''}`);
  return `CASE WHEN s.${key} IS NOT NULL THEN jsonb_build_array(${values.join(', ')})::text END`;
}

/** Selects the newest open dead letters of an email ($1). */
const SELECT_DEAD_LETTERS = `
SELECT id, topic, partition, "offset", error_class, value FROM subscription_sync.dead_letters
WHERE state = 'open' AND key = convert_to($1, 'UTF8') ORDER BY id DESC LIMIT 5`;

/** Selects how far a partition is applied. */
const SELECT_POSITION = `
SELECT "offset", version, to_json(applied_at) #>> '{}' AS applied_at FROM subscription_sync.positions WHERE topic = $1 AND partition = $2`;
