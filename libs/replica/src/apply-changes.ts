import { Inject, Injectable, Logger } from '@nestjs/common';
import type { KafkaMessage } from 'kafkajs';
import type { EntityManager } from 'typeorm';
import { BadEventError, decodeEvent, type ReceivedEvent } from '#events';
import type { PartitionBatch } from '#kafka';
import { type Database, DB2, type PreparedStatement, queryPrepared } from '#postgres';
import { rowOf } from './apply-statement.js';
import { ReplicaTable } from './replica-table.js';
import { classifyError } from './failure-policy.js';
import { ReplicaMetrics } from './replica-metrics.js';

interface Decoded {
  readonly message: KafkaMessage;
  readonly event: ReceivedEvent;
}

interface Outcome {
  /** How many rows were written. */
  readonly applied: number;
  /** What became dead letters. */
  readonly aside: readonly DeadLetter[];
}

/**
 * Applies batches to DB2. Each call is one transaction: the rows, the dead letters and the partition's position, or nothing.
 *
 * Guarantees, for any order, repetition and grouping of the events of an email, also by two callers at once: DB2 ends with the
 * highest version's row, versions only go up, and a deleted row stays deleted until a higher version creates it. A record that
 * can't be applied is stored as a dead letter and its neighbours go on.
 */
@Injectable()
export class ApplyChanges {
  private readonly logger = new Logger('replica');
  private readonly table = new ReplicaTable();
  /** When DB2 was last asked something or answered, as performance.now() has it. */
  movedAt = 0;

  constructor(
    @Inject(DB2) private readonly db2: Database,
    private readonly metrics: ReplicaMetrics,
  ) {}

  /** Rejects with what the database answers when it can't take the batch now; nothing is written then. */
  async apply(batch: PartitionBatch): Promise<void> {
    await this.db2.ready;
    const { events, letters } = decode(batch.messages);
    const { applied, aside } = await this.applyOrIsolate(batch, events, letters);
    this.reportAside(batch, aside);
    this.metrics.applied(
      events.map(({ event }) => event),
      applied,
    );
  }

  /** One event by itself, in the caller's transaction, whatever the position. @returns whether it was newer than what DB2 has. */
  async applyOne(manager: EntityManager, event: ReceivedEvent): Promise<boolean> {
    const statement = await this.table.applyStatement(manager, event.columns, false);
    return (await this.run(manager, statement, [`[${rowOf(event)}]`])) > 0;
  }

  private async applyOrIsolate(batch: PartitionBatch, events: readonly Decoded[], letters: readonly DeadLetter[]): Promise<Outcome> {
    try {
      if (letters.length === 0) return { applied: await this.write(this.db2.dataSource.manager, batch, events), aside: letters };
      return await this.db2.dataSource.transaction(async (manager) => {
        await storeDeadLetters(manager, batch, letters);
        return { applied: await this.write(manager, batch, events), aside: letters };
      });
    } catch (error) {
      if (classifyError(error).action !== 'dead-letter') throw error;
    }
    return this.db2.dataSource.transaction(async (manager) => {
      const aside = [...letters];
      const applied = await this.writeAround(manager, batch, events, aside);
      // Where all are refused nothing else moves the position.
      await this.write(manager, batch, []);
      await storeDeadLetters(manager, batch, aside);
      return { applied, aside };
    });
  }

  /** Halves what the database refuses until only the refused events are left. */
  private async writeAround(
    manager: EntityManager,
    batch: PartitionBatch,
    events: readonly Decoded[],
    refused: DeadLetter[],
  ): Promise<number> {
    await manager.query('SAVEPOINT around');
    try {
      const applied = await this.write(manager, batch, events);
      await manager.query('RELEASE SAVEPOINT around');
      return applied;
    } catch (error) {
      const verdict = classifyError(error);
      if (verdict.action !== 'dead-letter') throw error;
      await manager.query('ROLLBACK TO SAVEPOINT around');
      const [only] = events;
      if (events.length === 1 && only) {
        // PostgreSQL's message may quote the row; its code does not.
        refused.push({
          message: only.message,
          errorClass: verdict.errorClass,
          error: `DB2 refused version ${only.event.version}: SQLSTATE ${verdict.errorClass}`,
        });
        return 0;
      }
      const middle = events.length >> 1;
      const first = await this.writeAround(manager, batch, events.slice(0, middle), refused);
      return first + (await this.writeAround(manager, batch, events.slice(middle), refused));
    }
  }

  private async write(manager: EntityManager, batch: PartitionBatch, events: readonly Decoded[]): Promise<number> {
    const newest = latestPerKey(events.map(({ event }) => event));
    const last = newest.reduce<ReceivedEvent | undefined>((a, b) => (a && a.version > b.version ? a : b), undefined);
    const statement = await this.table.applyStatement(manager, last?.columns ?? [], true);
    return this.run(manager, statement, [`[${newest.map(rowOf).join(',')}]`, ...positionOf(batch, last)]);
  }

  /** @returns how many rows were written. */
  private async run(manager: EntityManager, statement: PreparedStatement, values: unknown[]): Promise<number> {
    this.movedAt = performance.now();
    try {
      const [result] = await queryPrepared<{ applied: number }>(manager, statement, values);
      return result!.applied;
    } catch (error) {
      this.table.forget();
      throw error;
    } finally {
      this.movedAt = performance.now();
    }
  }

  /** After the commit: what was rolled back has not been put aside. */
  private reportAside(batch: PartitionBatch, letters: readonly DeadLetter[]): void {
    for (const { message, errorClass, error } of letters) {
      this.metrics.deadLetter(errorClass);
      this.logger.error(`Dead letter at partition ${batch.partition}, offset ${message.offset}: ${error}`);
    }
  }
}

/** The parameters from $2 on, see buildApplyStatement. */
function positionOf({ topic, partition, messages }: PartitionBatch, newest: ReceivedEvent | undefined): unknown[] {
  const [first, last] = [messages[0]!, messages.at(-1)!];
  return [topic, partition, last.offset, newest?.version ?? 0, newest?.time ?? null, first.offset, first.timestamp, last.timestamp];
}

function decode(messages: readonly KafkaMessage[]): { events: Decoded[]; letters: DeadLetter[] } {
  const events: Decoded[] = [];
  const letters: DeadLetter[] = [];
  for (const message of messages) {
    try {
      events.push({ message, event: decodeEvent(message.key, message.value) });
    } catch (error) {
      if (!(error instanceof BadEventError)) throw error;
      letters.push({ message, errorClass: error.errorClass, error: error.message });
    }
  }
  return { events, letters };
}

/** The event of the highest version for each email: an upsert may name a row once, and the older ones would be overwritten anyway. */
function latestPerKey(events: Iterable<ReceivedEvent>): ReceivedEvent[] {
  const newest = new Map<string, ReceivedEvent>();
  for (const event of events) {
    const known = newest.get(event.email);
    if (!known || known.version < event.version) newest.set(event.email, event);
  }
  return [...newest.values()];
}

/** A record that can't be applied, and why. */
interface DeadLetter {
  readonly message: KafkaMessage;
  /** A BadEventClass, or the SQLSTATE by which DB2 refused it. */
  readonly errorClass: string;
  readonly error: string;
}

/** Puts records aside, once each however often they are read. Part of the caller's transaction: if it fails, the offset does not move. */
async function storeDeadLetters(
  manager: EntityManager,
  place: { readonly topic: string; readonly partition: number },
  letters: readonly DeadLetter[],
): Promise<void> {
  for (const { message, errorClass, error } of letters) {
    await manager.query(
      `INSERT INTO dead_letters (topic, partition, "offset", key, value, error_class, error)
       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
      [place.topic, place.partition, message.offset, message.key, message.value, errorClass, error],
    );
  }
}
