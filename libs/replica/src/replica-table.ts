import type { EntityManager } from 'typeorm';
import { prepared, type PreparedStatement } from '#postgres';
import { buildApplyStatement, type ReplicaColumn, SELECT_REPLICA_COLUMNS } from './apply-statement.js';
import { expectNoDrift } from './schema-drift.js';

/** DB2's columns are looked up again after so long: a column added to both databases travels without a restart. */
const KNOWN_FOR_MS = 10_000;

/** The statements that apply batches, for the columns that DB2's table and the events have now. */
export class ReplicaTable {
  private columns: readonly ReplicaColumn[] = [];
  private knownUntil = 0;
  private readonly statements = new Map<string, PreparedStatement>();

  /** For events whose image has the columns `image`; see buildApplyStatement. @throws SchemaDriftError */
  async applyStatement(manager: EntityManager, image: readonly string[], position: boolean): Promise<PreparedStatement> {
    if (performance.now() > this.knownUntil) {
      this.columns = await manager.query<ReplicaColumn[]>(SELECT_REPLICA_COLUMNS);
      expectNoDrift(this.columns);
      this.statements.clear();
      this.knownUntil = performance.now() + KNOWN_FOR_MS;
    }
    const key = `${position} ${image.join()}`;
    const known = this.statements.get(key);
    if (known) return known;
    const statement = prepared(buildApplyStatement(this.columns, new Set(image), position));
    this.statements.set(key, statement);
    return statement;
  }

  /** After an error: the table may have changed. */
  forget(): void {
    this.knownUntil = 0;
  }
}
