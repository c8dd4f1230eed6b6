import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { illegalTransition } from '#events';
import { ProblemException } from '#http';
import { type Database, DB1, prepared } from '#postgres';
import { preconditionFailed, type WriteContext } from './request-context.js';
import type { CreateSubscription, PatchSubscription, PutSubscription } from './subscription.dto.js';
import { alreadyExists, notFound, toHttpError } from './subscription.errors.js';
import { METADATA } from './validators.js';

/** A write that is committed, now or by an earlier request with the same idempotency key (`replayed`). */
export interface WrittenSubscription {
  readonly outcome: 'created' | 'updated' | 'deleted';
  /** The row's after the write; of a deletion, its own. */
  readonly version: number;
  /** The row's JSON text as the database printed it; null after a deletion. */
  readonly body: string | null;
  readonly replayed: boolean;
}

interface Refused {
  readonly outcome: 'exists' | 'missing' | 'precondition_failed' | 'forbidden' | 'key_in_use' | 'key_reused';
  readonly version: number | null;
  readonly status: string | null;
}

/** What a write's body may say besides the subscription's own fields. */
interface WriteBody {
  readonly status?: string;
  readonly reason?: string | undefined;
  readonly reactivate?: boolean;
}

const KEY_RETRY_AFTER_S = '1';

/** `subscription_write`: operation, email, fields, context, the versions of If-Match, those of If-None-Match. */
export const WRITE_ONE = prepared('SELECT outcome, version, body, status, replayed FROM subscription_write($1, $2, $3, $4, $5, $6)');

/** Writes one subscription in one round trip: `subscription_write` judges everything in the transaction of the write (ADR 15). */
@Injectable()
export class SubscriptionWriter {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  /** @throws ProblemException why nothing was written; DatabaseUnavailableError. */
  async write(
    operation: 'create' | 'put' | 'patch' | 'delete',
    email: string,
    body: WriteBody,
    request: WriteContext,
  ): Promise<WrittenSubscription> {
    const { reason, reactivate, ...fields } = body;
    const { actor, traceparent, ifMatch, ifNoneMatch, idempotencyKey } = request;
    const context = {
      actor,
      origin: 'api',
      traceparent,
      reason,
      reactivate,
      ...(ifMatch === '*' ? { must_exist: true } : {}),
      ...(ifNoneMatch === '*' ? { must_be_new: true } : {}),
      ...('metadata' in fields ? { metadata_at_most: METADATA } : {}),
      ...(idempotencyKey === undefined ? {} : { key: idempotencyKey, fingerprint: fingerprintOf(operation, email, body) }),
    };
    const versions = (tags: WriteContext['ifMatch']): readonly number[] | null => (typeof tags === 'object' ? tags : null);
    try {
      const [row] = await this.db1.queryPrepared<WrittenSubscription | Refused>(WRITE_ONE, [
        operation,
        email,
        fields,
        context,
        versions(ifMatch),
        versions(ifNoneMatch),
      ]);
      if (row!.outcome === 'created' || row!.outcome === 'updated' || row!.outcome === 'deleted') return row as WrittenSubscription;
      throw whyNot(row as Refused, operation, body, request);
    } catch (error) {
      throw toHttpError(error);
    }
  }
}

/** The same request has the same one, by whichever of the two roots it came. */
function fingerprintOf(operation: string, email: string, body: WriteBody): string {
  return createHash('sha256')
    .update(JSON.stringify([operation, email, body]))
    .digest('base64url');
}

function whyNot({ outcome, version, status }: Refused, operation: string, body: WriteBody, { ifMatch }: WriteContext): ProblemException {
  switch (outcome) {
    case 'exists':
      return alreadyExists();
    case 'missing':
      // RFC 9110, 13.2.1: without its precondition a PUT would have succeeded, the others would not.
      return operation === 'put' ? preconditionFailed('If-Match', undefined) : notFound();
    case 'precondition_failed':
      return preconditionFailed(ifMatch === undefined ? 'If-None-Match' : 'If-Match', version!);
    case 'forbidden':
      return mayNotFollow(status!, body);
    case 'key_in_use':
      return new ProblemException(
        'idempotency-key-in-use',
        'A request with this Idempotency-Key is being answered',
        {},
        { 'retry-after': KEY_RETRY_AFTER_S },
      );
    case 'key_reused':
      return new ProblemException('idempotency-key-reused', 'This Idempotency-Key was used for another request');
  }
}

function mayNotFollow(from: string, { status, reactivate = false }: WriteBody): ProblemException {
  const why = illegalTransition(from, reactivate);
  const detail = why.allowed.length > 0 ? `must be one of ${why.allowed.join(', ')}` : `${from} is an end`;
  return new ProblemException('illegal-transition', `${status!} may not follow ${from}`, {
    ...why,
    errors: [{ field: 'status', detail, pointer: '/status' }],
  });
}

/** Creates a subscription. Fails with 409 when the email is taken. */
export class CreateSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly subscription: CreateSubscription,
    readonly request: WriteContext,
  ) {
    super();
  }
}

@CommandHandler(CreateSubscriptionCommand)
export class CreateSubscriptionHandler implements ICommandHandler<CreateSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  /** The list has no entity tag: preconditions say nothing here. */
  async execute({ subscription, request }: CreateSubscriptionCommand): Promise<WrittenSubscription> {
    const { email, ...body } = subscription;
    return this.writer.write('create', email, body, { ...request, ifMatch: undefined, ifNoneMatch: undefined });
  }
}

/** Creates the subscription or replaces all its fields. Fails with 409 for a status that may not follow, 412 for a precondition. */
export class PutSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly subscription: PutSubscription,
    readonly request: WriteContext,
  ) {
    super();
  }
}

@CommandHandler(PutSubscriptionCommand)
export class PutSubscriptionHandler implements ICommandHandler<PutSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  execute({ email, subscription, request }: PutSubscriptionCommand): Promise<WrittenSubscription> {
    return this.writer.write('put', email, subscription, request);
  }
}

/**
 * Changes the fields that are given; `metadata` member by member (RFC 7396). A change that changes nothing writes nothing: the version
 * stays. Fails with 404, with 409 for a status that may not follow, 412 for a precondition.
 */
export class PatchSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly fields: PatchSubscription,
    readonly request: WriteContext,
  ) {
    super();
  }
}

@CommandHandler(PatchSubscriptionCommand)
export class PatchSubscriptionHandler implements ICommandHandler<PatchSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  execute({ email, fields, request }: PatchSubscriptionCommand): Promise<WrittenSubscription> {
    return this.writer.write('patch', email, fields, request);
  }
}

/** Deletes the subscription. Fails with 404 when there is none, 412 for a precondition. */
export class DeleteSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly reason: string | undefined,
    readonly request: WriteContext,
  ) {
    super();
  }
}

@CommandHandler(DeleteSubscriptionCommand)
export class DeleteSubscriptionHandler implements ICommandHandler<DeleteSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  execute({ email, reason, request }: DeleteSubscriptionCommand): Promise<WrittenSubscription> {
    return this.writer.write('delete', email, { reason }, request);
  }
}
