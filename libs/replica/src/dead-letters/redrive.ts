import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { decodeEvent } from '#events';
import { ApplyChanges } from '../apply-changes.js';
import { judge } from '../failure-policy.js';
import type { Outcome } from './dead-letter.dto.js';

export interface StoredRecord {
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
      const verdict = judge(error);
      if (verdict.action !== 'dead-letter') throw error;
      await manager.query('ROLLBACK TO SAVEPOINT redrive');
      return { outcome: 'failed', error: `Failed again: ${verdict.errorClass}` };
    }
  }
}
