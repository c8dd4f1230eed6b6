import { Inject, Logger } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Initiator } from '#audit';
import { type Database, DB1, queryOf } from '#postgres';
import type { ErasureView } from './erasure.dto.js';
import { readErasure, requestErasure } from './erasures.js';

/** Requests the erasure of an email: deletes its subscription now, and lets a sync process erase the rest. */
export class RequestErasureCommand extends Command<ErasureView> {
  constructor(
    readonly email: string,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(RequestErasureCommand)
export class RequestErasureHandler implements ICommandHandler<RequestErasureCommand> {
  private readonly logger = new Logger('erasure');

  constructor(@Inject(DB1) private readonly db1: Database) {}

  async execute({ email, by }: RequestErasureCommand): Promise<ErasureView> {
    const erasure = await this.db1.transaction((manager) => requestErasure(queryOf(manager), email, by));
    this.logger.log({
      code: 'erasure-requested',
      message: `Erasure ${erasure.id} was requested. Hash of the email: ${erasure.email_hash}`,
    });
    return erasure;
  }
}

/** Reads an erasure. Fails with 404. */
export class GetErasureQuery extends Query<ErasureView> {
  constructor(readonly id: number) {
    super();
  }
}

@QueryHandler(GetErasureQuery)
export class GetErasureHandler implements IQueryHandler<GetErasureQuery> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  execute({ id }: GetErasureQuery): Promise<ErasureView> {
    return readErasure((sql, parameters) => this.db1.query(sql, parameters), id);
  }
}
