import { isUtf8 } from 'node:buffer';
import { Inject, NotFoundException } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { limitOf, pageById } from '#http';
import { type Database, DB2 } from '#postgres';
import type { DeadLetterDetail, DeadLetterPage, DeadLetterView, ListDeadLetters } from './dead-letter.dto.js';

/** Columns of a {@link DeadLetterView}. */
export const VIEW = `id, state, error_class, error, topic, partition, "offset", redrives,
  to_json(created_at) #>> '{}' AS created_at, to_json(changed_at) #>> '{}' AS changed_at`;

/** A record as Kafka delivered it. */
export interface StoredRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

/** Lists dead letters, the oldest first. */
export class ListDeadLettersQuery extends Query<DeadLetterPage> {
  constructor(readonly options: ListDeadLetters) {
    super();
  }
}

@QueryHandler(ListDeadLettersQuery)
export class ListDeadLettersHandler implements IQueryHandler<ListDeadLettersQuery> {
  constructor(@Inject(DB2) private readonly db2: Database) {}

  async execute({ options }: ListDeadLettersQuery): Promise<DeadLetterPage> {
    const { state, error_class, partition, cursor } = options;
    const size = limitOf(options);
    const rows = await this.db2.query<DeadLetterView>(
      `SELECT ${VIEW} FROM subscription_sync.dead_letters
       WHERE id > $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR error_class = $3) AND ($4::int IS NULL OR partition = $4)
       ORDER BY id LIMIT $5`,
      [cursor ?? '0', state ?? null, error_class ?? null, partition ?? null, size + 1],
    );
    return pageById(rows, size);
  }
}

/** Reads one dead letter, with its bytes if the caller may see personal data. Fails with 404. */
export class GetDeadLetterQuery extends Query<DeadLetterDetail> {
  constructor(
    readonly id: number,
    readonly withBytes: boolean,
  ) {
    super();
  }
}

@QueryHandler(GetDeadLetterQuery)
export class GetDeadLetterHandler implements IQueryHandler<GetDeadLetterQuery> {
  constructor(@Inject(DB2) private readonly db2: Database) {}

  async execute({ id, withBytes }: GetDeadLetterQuery): Promise<DeadLetterDetail> {
    const [row] = await this.db2.query<DeadLetterView & StoredRecord>(
      `SELECT ${VIEW}, key, value FROM subscription_sync.dead_letters WHERE id = $1`,
      [id],
    );
    if (!row) throw deadLetterNotFound();
    const { key, value, ...view } = row;
    if (!withBytes) return view;
    const encoding = [key, value].every((bytes) => bytes === null || isUtf8(bytes)) ? 'utf8' : 'base64';
    return { ...view, encoding, key: key?.toString(encoding) ?? null, value: value?.toString(encoding) ?? null };
  }
}

export function deadLetterNotFound(): NotFoundException {
  return new NotFoundException('There is no dead letter with this id');
}
