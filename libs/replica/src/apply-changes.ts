import { setImmediate as nextTurn } from 'node:timers/promises';
import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import type { KafkaMessage } from 'kafkajs';
import type { EntityManager } from 'typeorm';
import { type Settings, SETTINGS, type SigningSettings } from '#config';
import { BadEventError, decodeEvent, EventSignatures, type ReceivedEvent, SIGNATURE_HEADER, TRACEPARENT_HEADER } from '#events';
import type { PartitionBatch } from '#kafka';
import { type BatchSpans, Tracing } from '#observability';
import { type Database, DB2, isolateRefused, isUnavailable, LEAVE_ROLE_PATH, type PreparedStatement, queryPrepared } from '#postgres';
import { rowsOf, sampleOf } from './apply-statement.js';
import { ReplicaMetrics } from './replica-metrics.js';
import { ReplicaTable } from './replica-table.js';

/**
 * Batches of up to this many events share a transaction if they arrive together. A transaction takes 0.2 ms of CPU time in DB2, as much as a
 * dozen events. Of larger batches, it is better that one is read while DB2 applies another.
 */
const SHARED_EVENTS = 250;
/** Time that a shared transaction waits for a lock. Then each of its batches has a transaction of its own: only one may have to wait. */
const SHARED_LOCK_TIMEOUT = '100ms';

interface Decoded {
  readonly message: KafkaMessage;
  readonly event: ReceivedEvent;
}

interface Outcome {
  /** Number of rows that were written. */
  readonly applied: number;
  readonly deadLettered: readonly DeadLetter[];
}

/** A batch and its valid events. */
interface DecodedBatch {
  readonly batch: PartitionBatch;
  readonly events: readonly Decoded[];
}

/** Batches that arrive together. */
interface Gathering {
  readonly batches: DecodedBatch[];
  /** Whether they were applied. */
  readonly applied: Promise<boolean>;
}

/**
 * Applies batches to DB2, each in one transaction: the rows, the dead letters and the partition's position, or nothing. Small batches of
 * different partitions that arrive together share a transaction.
 *
 * Guarantees, for any order, repetition and grouping of the events of an email, also with concurrent callers: DB2 ends with the
 * row of the highest version, versions only go up, and a deleted row stays deleted until a higher version creates it. A record that
 * cannot be applied is stored as a dead letter, and its neighbours are applied; its version does not count as applied.
 */
@Injectable()
export class ApplyChanges {
  private readonly logger = new Logger('replica');
  /** Time of the last statement sent to DB2 or answered by it, as `performance.now()`. */
  lastProgressAt = 0;
  private gathering: Gathering | undefined;
  private readonly signing: SigningSettings | undefined;
  private readonly signatures: EventSignatures | undefined;

  constructor(
    @Inject(DB2) private readonly db2: Database,
    private readonly table: ReplicaTable,
    private readonly metrics: ReplicaMetrics,
    @Inject(SETTINGS) private readonly settings: Pick<Settings, 'kafka'>,
    @Optional() private readonly tracing?: Tracing,
  ) {
    this.signing = settings.kafka?.signing;
    this.signatures = this.signing && new EventSignatures(this.signing.secrets);
  }

  /** Reads the key and the value of a record whose signature has been checked before. @throws BadEventError */
  decode(key: Buffer | null, value: Buffer | null): ReceivedEvent {
    return decodeEvent(key, value, this.table.keyColumn);
  }

  /** @throws BadEventError when the record is not signed by the service. */
  private checkSignature({ key, value, headers }: KafkaMessage): void {
    if (!this.signatures || key === null || value === null) return;
    const signature = headers?.[SIGNATURE_HEADER];
    if (signature === undefined && !this.signing!.required) return;
    if (this.signatures.isValid(signature, key, value)) return;
    const detail = signature === undefined ? 'The record has no signature' : 'The signature of the record is wrong';
    throw new BadEventError('not-signed', `${detail}: another program wrote it, or with another EVENT_SIGNING_KEY`);
  }

  /** Applies a batch. Rejects with the database's error when DB2 cannot take it now; nothing is written then. */
  async apply(batch: PartitionBatch): Promise<void> {
    await this.db2.ready;
    const { events, deadLetters } = this.decodeAll(batch.messages);
    if (events[0]) this.metrics.received(batch.partition, events[0].message.offset, events[0].event.time);
    const spans = this.startSpans(batch, events);
    try {
      const deadLettered = await this.applyOrIsolate({ batch, events }, deadLetters);
      if (spans) markRefused(spans, events, deadLettered);
      this.reportDeadLetters(batch, deadLettered);
      this.metrics.applied(batch.partition, events.at(-1)?.event.time);
    } catch (error) {
      spans?.failAll(error);
      throw error;
    } finally {
      spans?.end();
    }
  }

  private startSpans({ topic, partition }: PartitionBatch, events: readonly Decoded[]): BatchSpans | undefined {
    if (!this.tracing) return undefined;
    const { groupId } = this.settings.kafka!;
    const records = events.map((decoded) => ({ traceparent: traceparentOf(decoded), version: decoded.event.version }));
    return this.tracing.startApplying({ topic, partition, groupId }, records);
  }

  /**
   * Applies a single event in the caller's transaction, without the partition's position.
   * @returns whether it was newer than what DB2 has of its email, or the class of the error with which it was refused.
   */
  async applyOne(manager: EntityManager, event: ReceivedEvent): Promise<boolean | { readonly refused: string }> {
    await checkConstraintsAtOnce(manager);
    const rows = rowsOf([event]);
    const statement = await this.table.applyStatement(manager, event.columns, false);
    try {
      return await manager.transaction(async (part) => {
        const applied = await this.run(part, statement, rows);
        await leaveRolePath(part);
        return applied > 0;
      });
    } catch (error) {
      const refused = await this.table.refusalOf(manager, error, event.columns, rows[0]);
      if (refused === undefined) throw error;
      return { refused };
    }
  }

  private decodeAll(messages: readonly KafkaMessage[]): { events: Decoded[]; deadLetters: DeadLetter[] } {
    const events: Decoded[] = [];
    const deadLetters: DeadLetter[] = [];
    for (const message of messages) {
      try {
        this.checkSignature(message);
        events.push({ message, event: this.decode(message.key, message.value) });
      } catch (error) {
        if (!(error instanceof BadEventError)) throw error;
        deadLetters.push({ message, errorClass: error.errorClass, error: error.message });
      }
    }
    return { events, deadLetters };
  }

  /** @returns the records that became dead letters. */
  private async applyOrIsolate(decoded: DecodedBatch, deadLetters: readonly DeadLetter[]): Promise<readonly DeadLetter[]> {
    if (deadLetters.length === 0 && (await this.applyTogether(decoded))) return [];
    const { applied, deadLettered } = await this.applyAlone(decoded, deadLetters);
    this.metrics.wrote(applied, decoded.events.length);
    return deadLettered;
  }

  /**
   * Applies a small batch with those that arrive together with it: what kafkajs has fetched at once is here before the event loop's next turn.
   * @returns false if the batch needs a transaction of its own.
   */
  private applyTogether(decoded: DecodedBatch): Promise<boolean> {
    if (decoded.events.length > SHARED_EVENTS) return Promise.resolve(false);
    this.gathering ??= this.gather();
    this.gathering.batches.push(decoded);
    return this.gathering.applied;
  }

  private gather(): Gathering {
    const batches: DecodedBatch[] = [];
    const applied = nextTurn().then(() => {
      this.gathering = undefined;
      return batches.length > 1 && this.tryTogether(batches);
    });
    return { batches, applied };
  }

  private async tryTogether(batches: readonly DecodedBatch[]): Promise<boolean> {
    try {
      const applied = await this.write(this.db2.dataSource.manager, batches);
      this.metrics.wrote(applied, batches.flatMap(({ events }) => events).length);
      return true;
    } catch (error) {
      if (isUnavailable(error)) throw error;
      return false;
    }
  }

  private async applyAlone(decoded: DecodedBatch, deadLetters: readonly DeadLetter[]): Promise<Outcome> {
    const { batch, events } = decoded;
    try {
      if (deadLetters.length === 0) return { applied: await this.write(this.db2.dataSource.manager, [decoded]), deadLettered: [] };
      return await this.db2.dataSource.transaction(async (manager) => {
        await storeDeadLetters(manager, batch, deadLetters);
        return { applied: await this.write(manager, [decoded]), deadLettered: deadLetters };
      });
    } catch (error) {
      if ((await this.refusalOf(this.db2.dataSource.manager, error, events)) === undefined) throw error;
    }
    return this.db2.dataSource.transaction(async (manager) => {
      await checkConstraintsAtOnce(manager);
      const { applied, refused } = await this.writeAllButRefused(manager, batch, events);
      // When every event is refused, nothing else advances the position.
      await this.write(manager, [{ batch, events: [] }]);
      await leaveRolePath(manager);
      const deadLettered = [...deadLetters, ...refused];
      await storeDeadLetters(manager, batch, deadLettered);
      return { applied, deadLettered };
    });
  }

  private async writeAllButRefused(
    manager: EntityManager,
    batch: PartitionBatch,
    events: readonly Decoded[],
  ): Promise<{ readonly applied: number; readonly refused: readonly DeadLetter[] }> {
    let applied = 0;
    const refused = await isolateRefused(events, async (part) => {
      await manager.query('SAVEPOINT part');
      try {
        applied += await this.write(manager, [{ batch, events: part }]);
        await leaveRolePath(manager);
        await manager.query('RELEASE SAVEPOINT part');
        return undefined;
      } catch (error) {
        if (isUnavailable(error)) throw error;
        await manager.query('ROLLBACK TO SAVEPOINT part');
        const refusal = await this.refusalOf(manager, error, part);
        if (refusal === undefined) throw error;
        return refusal;
      }
    });
    return { applied, refused: refused.map(({ item, reason }) => refusedLetter(item, reason)) };
  }

  private refusalOf(manager: EntityManager, error: unknown, events: readonly Decoded[]): Promise<string | undefined> {
    const newest = latestPerKey(events.map(({ event }) => event));
    return this.table.refusalOf(manager, error, columnsOf(newest), rowsOf(newest)[0]);
  }

  /** Applies batches of different partitions in one statement. */
  private async write(manager: EntityManager, batches: readonly DecodedBatch[]): Promise<number> {
    const parts = batches.map(({ batch, events }) => ({ batch, newest: latestPerKey(events.map(({ event }) => event)) }));
    const newest = parts.length === 1 ? parts[0]!.newest : latestPerKey(parts.flatMap((part) => part.newest));
    const statement = await this.table.applyStatement(manager, columnsOf(newest), true);
    return this.run(manager, statement, [
      ...rowsOf(newest),
      parts[0]!.batch.topic,
      JSON.stringify(parts.map((part) => positionOf(part.batch, newestOf(part.newest)))),
      JSON.stringify(parts.flatMap((part) => sampleOf(part.batch.partition, part.newest))),
      parts.length === 1 ? null : SHARED_LOCK_TIMEOUT,
    ]);
  }

  /** @returns for how many emails the version was newer. */
  private async run(manager: EntityManager, statement: PreparedStatement, values: unknown[]): Promise<number> {
    this.lastProgressAt = performance.now();
    try {
      const [result] = await queryPrepared<{ applied: number }>(manager, statement, values);
      return result!.applied;
    } catch (error) {
      this.table.forget();
      throw error;
    } finally {
      this.lastProgressAt = performance.now();
    }
  }

  /** Called after the commit: a dead letter that was rolled back does not count. */
  private reportDeadLetters(batch: PartitionBatch, deadLetters: readonly DeadLetter[]): void {
    for (const { message, errorClass, error } of deadLetters) {
      this.metrics.deadLetter(errorClass);
      this.logger.error({
        code: 'dead-letter',
        message: `Dead letter at partition ${batch.partition}, offset ${message.offset}: ${error}`,
      });
    }
  }
}

/**
 * Lets the rest of the transaction check the table's deferred constraints after each statement. At the commit, nothing would tell which row
 * violates them.
 */
async function checkConstraintsAtOnce(manager: EntityManager): Promise<void> {
  await manager.query('SET CONSTRAINTS ALL IMMEDIATE');
}

/** Goes back to the service's own search_path, because other statements of the transaction follow the one that applies changes. */
async function leaveRolePath(manager: EntityManager): Promise<void> {
  await manager.query(`SELECT ${LEAVE_ROLE_PATH}`);
}

/** Returns the position after a batch, as the statement of `buildApplyStatement` takes it. Times of records are in ms. */
function positionOf({ partition, messages }: PartitionBatch, newest: ReceivedEvent | undefined): object {
  const [first, last] = [messages[0]!, messages.at(-1)!];
  return {
    partition,
    offset: last.offset,
    version: newest?.version ?? 0,
    version_time: newest?.time ?? null,
    first: first.offset,
    first_ms: first.timestamp,
    last_ms: last.timestamp,
  };
}

/** Returns the event of the highest version. */
function newestOf(events: readonly ReceivedEvent[]): ReceivedEvent | undefined {
  return events.reduce<ReceivedEvent | undefined>((a, b) => (a && a.version > b.version ? a : b), undefined);
}

/** Returns the columns of the newest row. A deletion writes no column, and that of a canary names columns which the table may not have. */
function columnsOf(events: readonly ReceivedEvent[]): readonly string[] | undefined {
  return newestOf(events.filter(({ operation }) => operation !== 'deleted'))?.columns;
}

/** Returns the event of the highest version for each email: the guard may name an email only once, and older versions would be overwritten anyway. */
function latestPerKey(events: Iterable<ReceivedEvent>): ReceivedEvent[] {
  const newest = new Map<string, ReceivedEvent>();
  for (const event of events) {
    const known = newest.get(event.email);
    if (!known || known.version < event.version) newest.set(event.email, event);
  }
  return [...newest.values()];
}

/** Returns the context of the span that sent the record, otherwise that of the change: the sync role may run without tracing. */
function traceparentOf({ message, event }: Decoded): string | undefined {
  return message.headers?.[TRACEPARENT_HEADER]?.toString() ?? event.traceparent;
}

function markRefused(spans: BatchSpans, events: readonly Decoded[], deadLettered: readonly DeadLetter[]): void {
  const refused = new Map(deadLettered.map(({ message, errorClass }) => [message, errorClass]));
  for (const decoded of events) {
    const errorClass = refused.get(decoded.message);
    if (errorClass !== undefined) spans.fail(traceparentOf(decoded), errorClass);
  }
}

/** PostgreSQL's message may quote the row, so only its code is stored. */
function refusedLetter({ message, event }: Decoded, sqlstate: string): DeadLetter {
  return { message, errorClass: sqlstate, error: `DB2 refused version ${event.version}: SQLSTATE ${sqlstate}` };
}

/** A record that cannot be applied, and why. */
interface DeadLetter {
  readonly message: KafkaMessage;
  /** A `BadEventClass`, or the SQLSTATE with which DB2 refused the record. */
  readonly errorClass: string;
  readonly error: string;
}

/**
 * Stores each record once, however often it is read. Runs in the caller's transaction: if it fails, the offset does not advance.
 */
async function storeDeadLetters(
  manager: EntityManager,
  { topic, partition }: { readonly topic: string; readonly partition: number },
  deadLetters: readonly DeadLetter[],
): Promise<void> {
  for (const { message, errorClass, error } of deadLetters) {
    await manager.query(
      `INSERT INTO subscription_sync.dead_letters (topic, partition, "offset", key, value, error_class, error)
       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
      [topic, partition, message.offset, message.key, message.value, errorClass, error],
    );
  }
}
