import { ConflictException, Inject, Injectable } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, QueryBus } from '@nestjs/cqrs';
import type { EntityManager } from 'typeorm';
import { AuditLog, type Initiator } from '#audit';
import { BadEventError } from '#events';
import { type Database, DB2 } from '#postgres';
import { ApplyChanges } from './apply-changes.js';
import {
  type DeadLetterState,
  type DeadLetterView,
  ListDeadLetters,
  type Outcome,
  type RedriveFilter,
  type RedriveResult,
  type RedriveSummary,
} from './dead-letter.dto.js';
import { deadLetterNotFound, ListDeadLettersQuery, type StoredRecord, VIEW } from './dead-letters.queries.js';

interface StoredLetter extends StoredRecord {
  readonly state: DeadLetterState;
  readonly error_class: string;
}

/** The class of records that another program may have written. A person who trusts one changes the row in Database 1. */
const NOT_SIGNED = 'not-signed';

/** Tries again to apply dead letters. */
@Injectable()
export class DeadLetterRedriver {
  constructor(
    @Inject(DB2) private readonly db2: Database,
    private readonly changes: ApplyChanges,
  ) {}

  /**
   * Tries an open dead letter again. The version guard decides, so it cannot undo a newer change.
   * @throws NotFoundException; ConflictException when it is not open; the database's error when that is not about the record.
   */
  async redrive(id: number): Promise<RedriveResult> {
    return this.db2.transaction(async (manager) => {
      const [letter] = await manager.query<StoredLetter[]>(
        'SELECT state, key, value, error_class FROM subscription_sync.dead_letters WHERE id = $1 FOR UPDATE',
        [id],
      );
      expectOpen(letter);
      const { outcome, error } = await this.apply(manager, letter);
      await manager.query(
        `UPDATE subscription_sync.dead_letters SET redrives = redrives + 1, changed_at = clock_timestamp(), state = $2, error = coalesce($3, error) WHERE id = $1`,
        [id, outcome === 'failed' ? 'open' : outcome, error ?? null],
      );
      return { id, outcome, ...(error === undefined ? {} : { error }) };
    });
  }

  /** Applies the record in the caller's transaction, which can go on whatever the outcome. Rejects with an error that is not about the record. */
  private async apply(
    manager: EntityManager,
    { key, value, error_class }: StoredLetter,
  ): Promise<{ readonly outcome: Outcome; readonly error?: string }> {
    // Headers are not stored, so the signature cannot be checked again.
    if (error_class === NOT_SIGNED) return { outcome: 'failed', error: `Failed again: ${NOT_SIGNED}` };
    try {
      const applied = await this.changes.applyOne(manager, this.changes.decode(key, value));
      if (typeof applied === 'boolean') return { outcome: applied ? 'applied' : 'superseded' };
      return { outcome: 'failed', error: `Failed again: ${applied.refused}` };
    } catch (error) {
      if (!(error instanceof BadEventError)) throw error;
      return { outcome: 'failed', error: `Failed again: ${error.errorClass}` };
    }
  }
}

/** Tries one open dead letter again. Fails with 404, and with 409 when it is not open. */
export class RedriveDeadLetterCommand extends Command<RedriveResult> {
  constructor(
    readonly id: number,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(RedriveDeadLetterCommand)
export class RedriveDeadLetterHandler implements ICommandHandler<RedriveDeadLetterCommand> {
  constructor(
    private readonly redriver: DeadLetterRedriver,
    private readonly audit: AuditLog,
  ) {}

  async execute({ id, by }: RedriveDeadLetterCommand): Promise<RedriveResult> {
    await this.audit.record({ ...by, action: 'dead_letter.redrive', target: String(id) });
    return this.redriver.redrive(id);
  }
}

/** Tries all open dead letters that match the filter again, the oldest first, each in a transaction of its own. */
export class RedriveDeadLettersCommand extends Command<RedriveSummary> {
  constructor(
    readonly filter: RedriveFilter,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(RedriveDeadLettersCommand)
export class RedriveDeadLettersHandler implements ICommandHandler<RedriveDeadLettersCommand> {
  constructor(
    private readonly redriver: DeadLetterRedriver,
    private readonly queries: QueryBus,
    private readonly audit: AuditLog,
  ) {}

  async execute({ filter, by }: RedriveDeadLettersCommand): Promise<RedriveSummary> {
    await this.audit.record({ ...by, action: 'dead_letter.redrive_all', details: describeFilter(filter) });
    const summary = { applied: 0, superseded: 0, failed: 0 };
    for (let cursor: string | null = '0'; cursor !== null;) {
      const options: ListDeadLetters = Object.assign(new ListDeadLetters(), filter, { state: 'open', cursor });
      const page = await this.queries.execute(new ListDeadLettersQuery(options));
      for (const { id } of page.data) {
        const result = await this.redriver.redrive(id).catch(ignoreConflict);
        if (result) summary[result.outcome] += 1;
      }
      cursor = page.next_cursor;
    }
    return summary;
  }
}

/** Marks an open dead letter as not to be applied. Its bytes stay. Fails with 404, and with 409 when it is not open. */
export class DiscardDeadLetterCommand extends Command<DeadLetterView> {
  constructor(
    readonly id: number,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(DiscardDeadLetterCommand)
export class DiscardDeadLetterHandler implements ICommandHandler<DiscardDeadLetterCommand> {
  constructor(
    @Inject(DB2) private readonly db2: Database,
    private readonly audit: AuditLog,
  ) {}

  async execute({ id, by }: DiscardDeadLetterCommand): Promise<DeadLetterView> {
    await this.audit.record({ ...by, action: 'dead_letter.discard', target: String(id) });
    return this.db2.transaction(async (manager) => {
      const [letter] = await manager.query<{ state: DeadLetterState }[]>(
        'SELECT state FROM subscription_sync.dead_letters WHERE id = $1 FOR UPDATE',
        [id],
      );
      expectOpen(letter);
      await manager.query(`UPDATE subscription_sync.dead_letters SET state = 'discarded', changed_at = clock_timestamp() WHERE id = $1`, [
        id,
      ]);
      const [discarded] = await manager.query<[DeadLetterView]>(`SELECT ${VIEW} FROM subscription_sync.dead_letters WHERE id = $1`, [id]);
      return discarded;
    });
  }
}

/** Classes are SQLSTATEs and words with hyphens. Other text matches no dead letter, may be an email, and is not recorded. */
const ERROR_CLASS = /^[\w-]{1,64}$/;

function describeFilter({ error_class, partition }: RedriveFilter): Record<string, unknown> {
  return {
    ...(error_class === undefined ? {} : { error_class: ERROR_CLASS.test(error_class) ? error_class : 'unknown' }),
    ...(partition === undefined ? {} : { partition: Number(partition) }),
  };
}

function expectOpen<Letter extends { state: DeadLetterState }>(letter: Letter | undefined): asserts letter is Letter {
  if (!letter) throw deadLetterNotFound();
  if (letter.state !== 'open') throw new ConflictException(`This dead letter is ${letter.state}; only an open one can be changed`);
}

/** Another request may have dealt with the same dead letter meanwhile. */
function ignoreConflict(error: unknown): undefined {
  if (!(error instanceof ConflictException)) throw error;
}
