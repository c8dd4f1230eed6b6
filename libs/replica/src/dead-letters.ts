import { isUtf8 } from 'node:buffer';
import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { decodeEvent } from '#events';
import { limitOf, pageById } from '#http';
import { type Database, DB2 } from '#postgres';
import { ApplyChanges } from './apply-changes.js';
import {
  type DeadLetterDetail,
  type DeadLetterPage,
  type DeadLetterState,
  type DeadLetterView,
  ListDeadLetters,
  type Outcome,
  type RedriveFilter,
  type RedriveResult,
  type RedriveSummary,
} from './dead-letter.dto.js';
import { classifyError } from './failure-policy.js';

interface StoredRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

/** One more try to apply a record that was put aside. */
@Injectable()
export class Redrive {
  constructor(private readonly changes: ApplyChanges) {}

  /** In the caller's transaction, which goes on whatever the outcome. Rejects with what is not about the record. */
  async run(manager: EntityManager, { key, value }: StoredRecord): Promise<{ readonly outcome: Outcome; readonly error?: string }> {
    await manager.query('SAVEPOINT redrive');
    try {
      const newer = await this.changes.applyOne(manager, decodeEvent(key, value));
      return { outcome: newer ? 'applied' : 'superseded' };
    } catch (error) {
      const verdict = classifyError(error);
      if (verdict.action !== 'dead-letter') throw error;
      await manager.query('ROLLBACK TO SAVEPOINT redrive');
      return { outcome: 'failed', error: `Failed again: ${verdict.errorClass}` };
    }
  }
}

const VIEW = `id, state, error_class, error, topic, partition, "offset", redrives,
  to_json(created_at) #>> '{}' AS created_at, to_json(changed_at) #>> '{}' AS changed_at`;

/** What people do with dead letters: look at them, try them again, drop them. */
@Injectable()
export class DeadLetters {
  constructor(
    @Inject(DB2) private readonly db2: Database,
    private readonly redriver: Redrive,
  ) {}

  /** In the order in which they arrived. */
  async list(options: ListDeadLetters): Promise<DeadLetterPage> {
    const { state, error_class, partition, cursor } = options;
    const size = limitOf(options);
    const rows = await this.db2.query<DeadLetterView>(
      `SELECT ${VIEW} FROM dead_letters
       WHERE id > $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR error_class = $3) AND ($4::int IS NULL OR partition = $4)
       ORDER BY id LIMIT $5`,
      [cursor ?? '0', state ?? null, error_class ?? null, partition ?? null, size + 1],
    );
    return pageById(rows, size);
  }

  async get(id: number): Promise<DeadLetterDetail> {
    const [row] = await this.db2.query<DeadLetterView & StoredRecord>(`SELECT ${VIEW}, key, value FROM dead_letters WHERE id = $1`, [id]);
    if (!row) throw unknownLetter();
    const encoding = [row.key, row.value].every((bytes) => bytes === null || isUtf8(bytes)) ? 'utf8' : 'base64';
    return Object.assign(row, {
      encoding,
      key: row.key?.toString(encoding) ?? null,
      value: row.value?.toString(encoding) ?? null,
    } as const);
  }

  /** Tries an open one again. The version guard decides: it can't undo a newer change. */
  async redrive(id: number): Promise<RedriveResult> {
    return this.db2.transaction(async (manager) => {
      const [letter] = await manager.query<(StoredRecord & { state: DeadLetterState })[]>(
        'SELECT state, key, value FROM dead_letters WHERE id = $1 FOR UPDATE',
        [id],
      );
      expectOpen(letter);
      const { outcome, error } = await this.redriver.run(manager, letter);
      await manager.query(
        `UPDATE dead_letters SET redrives = redrives + 1, changed_at = clock_timestamp(), state = $2, error = coalesce($3, error) WHERE id = $1`,
        [id, outcome === 'failed' ? 'open' : outcome, error ?? null],
      );
      return { id, outcome, ...(error === undefined ? {} : { error }) };
    });
  }

  /** Each that the filter names and that is open, in the order of their arrival, in a transaction of its own. */
  async redriveAll(filter: RedriveFilter): Promise<RedriveSummary> {
    const summary = { applied: 0, superseded: 0, failed: 0 };
    let cursor: string | null = '0';
    while (cursor !== null) {
      const page: DeadLetterPage = await this.list(Object.assign(new ListDeadLetters(), filter, { state: 'open', cursor }));
      for (const { id } of page.data) {
        const result = await this.redrive(id).catch(ifStillOpen);
        if (result) summary[result.outcome] += 1;
      }
      cursor = page.next_cursor;
    }
    return summary;
  }

  /** Says that an open one will not be applied. Its bytes stay. */
  async discard(id: number): Promise<DeadLetterView> {
    return this.db2.transaction(async (manager) => {
      const [letter] = await manager.query<{ state: DeadLetterState }[]>('SELECT state FROM dead_letters WHERE id = $1 FOR UPDATE', [id]);
      expectOpen(letter);
      await manager.query(`UPDATE dead_letters SET state = 'discarded', changed_at = clock_timestamp() WHERE id = $1`, [id]);
      const [discarded] = await manager.query<[DeadLetterView]>(`SELECT ${VIEW} FROM dead_letters WHERE id = $1`, [id]);
      return discarded;
    });
  }
}

function expectOpen<Letter extends { state: DeadLetterState }>(letter: Letter | undefined): asserts letter is Letter {
  if (!letter) throw unknownLetter();
  if (letter.state !== 'open') throw new ConflictException(`This dead letter is ${letter.state}; only an open one can be worked on`);
}

/** Somebody else may be working on the same ones. */
function ifStillOpen(error: unknown): undefined {
  if (!(error instanceof ConflictException)) throw error;
}

function unknownLetter(): NotFoundException {
  return new NotFoundException('No dead letter with this id');
}
