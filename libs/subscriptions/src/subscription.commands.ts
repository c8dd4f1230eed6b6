import { createHash } from 'node:crypto';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { illegalTransition, type StatusTransitions } from '#events';
import { ProblemException, wrongFields } from '#http';
import { type Database, DB1, prepared } from '#postgres';
import { AcceptedStatuses } from './accepted-statuses.js';
import { ReplicaWaiting } from './replica-waiting.js';
import { preconditionFailed, type SubscriptionRequestContext } from './request-context.js';
import type { CreateSubscription, PatchSubscription, PutSubscription } from './subscription.dto.js';
import { alreadyExists, notFound, notWritable, toHttpError } from './subscription.errors.js';
import { METADATA } from './validators.js';

/** A committed write, and what is known of it in Database 2. */
export interface WrittenSubscription extends CommittedWrite {
  /** With `Prefer: wait`: whether Database 2 had the version in time. Undefined when the write did not wait. */
  readonly replicated: boolean | undefined;
}

/** A write that was committed, now or by an earlier request with the same idempotency key (`replayed`). */
interface CommittedWrite {
  readonly outcome: 'created' | 'updated' | 'deleted';
  /** The key of the subscription: the email as DB1 normalises it. */
  readonly email: string;
  /** The version of the row after the write, or of its deletion. */
  readonly version: number;
  /** The row as JSON text, as printed by the database; null after a deletion. */
  readonly body: string | null;
  readonly replayed: boolean;
}

/** A write that was not made. */
interface RejectedWrite {
  readonly outcome: 'exists' | 'missing' | 'precondition_failed' | 'key_in_use' | 'key_reused' | 'unknown_fields';
  /** The existing row as JSON text; null when there is none. For `unknown_fields` their names, separated by commas. */
  readonly body: string | null;
}

/** A write that was not made because its status may not follow `status`. */
interface ForbiddenTransition {
  readonly outcome: 'transition_not_allowed';
  readonly status: string;
}

/** Fields of a request body that are not fields of the subscription, and `status`. */
interface WriteBody {
  readonly status?: string;
  readonly reason?: string | undefined;
  readonly reactivate?: boolean;
}

const KEY_RETRY_AFTER_S = '1';
const ERASED_SINCE =
  'What was written under this Idempotency-Key has been erased since. Nothing was changed. Use a new key to write it again';

/** Parameters: operation, email, fields, context, entity tags in If-Match, entity tags in If-None-Match. */
export const WRITE_ONE = prepared(
  'SELECT outcome, subscription_sync.normalize_email($2) AS email, version, body, status, replayed FROM subscription_sync.write($1, $2, $3, $4, $5, $6)',
);

/**
 * Writes one subscription in one round trip: `subscription_sync.write` checks everything in the transaction of the write (ADR 15). With
 * `Prefer: wait` it then waits for Database 2.
 */
@Injectable()
export class SubscriptionWriter {
  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly statuses: AcceptedStatuses,
    @Optional() private readonly replica?: ReplicaWaiting,
  ) {}

  /** @throws ProblemException with the reason why nothing was written; DatabaseUnavailableError. */
  async write(
    operation: 'create' | 'put' | 'patch' | 'delete',
    email: string,
    body: WriteBody,
    request: SubscriptionRequestContext,
  ): Promise<WrittenSubscription> {
    const written = await this.commit(operation, email, body, request);
    return { ...written, replicated: await this.waitForReplica(written, request) };
  }

  private async commit(operation: string, email: string, body: WriteBody, request: SubscriptionRequestContext): Promise<CommittedWrite> {
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
      ...('metadata' in fields ? { metadata_limits: METADATA } : {}),
      ...(idempotencyKey === undefined ? {} : { key: idempotencyKey, fingerprint: fingerprintOf(operation, email, body) }),
    };
    const listed = (tags: SubscriptionRequestContext['ifMatch']): readonly string[] | null => (typeof tags === 'object' ? tags : null);
    try {
      const [result] = await this.db1.queryPrepared<CommittedWrite | ForbiddenTransition | RejectedWrite>(WRITE_ONE, [
        operation,
        email,
        fields,
        context,
        listed(ifMatch),
        listed(ifNoneMatch),
      ]);
      const written = result!;
      if (written.outcome === 'created' || written.outcome === 'updated' || written.outcome === 'deleted') {
        // The row of an earlier request with the key: an erasure takes it from the stored result.
        if (written.body === null && written.outcome !== 'deleted') throw new ProblemException('conflict', ERASED_SINCE);
        return written;
      }
      if (written.outcome === 'transition_not_allowed') throw transitionNotAllowed(this.statuses.transitions, written.status, body);
      throw rejection(written as RejectedWrite, operation, email, request, this.db1.table.label);
    } catch (error) {
      throw toHttpError(error, this.db1.table.keyColumn.name);
    }
  }

  private async waitForReplica(
    { email, version }: CommittedWrite,
    { replicaWait }: SubscriptionRequestContext,
  ): Promise<boolean | undefined> {
    if (!replicaWait || !this.replica?.available) return undefined;
    return this.replica.wait(email, version, replicaWait.seconds * 1_000, replicaWait.signal);
  }
}

/** Equal for equal requests, whether they were sent to /subscriptions or to its alias. */
function fingerprintOf(operation: string, email: string, body: WriteBody): string {
  return createHash('sha256')
    .update(JSON.stringify([operation, email, body]))
    .digest('base64url');
}

function rejection(
  { outcome, body: existing }: RejectedWrite,
  operation: string,
  email: string,
  { ifMatch }: SubscriptionRequestContext,
  table: string,
): ProblemException {
  switch (outcome) {
    case 'exists':
      return alreadyExists();
    case 'missing':
      // RFC 9110, section 13.2.1: without the precondition a PUT would have succeeded; PATCH and DELETE would not.
      return operation === 'put' ? preconditionFailed('If-Match', undefined) : notFound(email);
    case 'precondition_failed':
      return preconditionFailed(ifMatch === undefined ? 'If-None-Match' : 'If-Match', existing!);
    case 'key_in_use':
      return new ProblemException(
        'idempotency-key-in-use',
        'Another request with this Idempotency-Key is still in progress',
        {},
        { 'retry-after': KEY_RETRY_AFTER_S },
      );
    case 'unknown_fields':
      return wrongFields(existing!.split(',').map((field) => ({ field, detail: notWritable(table), pointer: `/${field}` })));
    case 'key_reused':
      return new ProblemException('idempotency-key-reused', 'This Idempotency-Key was used for a different request');
  }
}

function transitionNotAllowed(transitions: StatusTransitions, from: string, { status, reactivate = false }: WriteBody): ProblemException {
  const transition = illegalTransition(transitions, from, reactivate);
  const { allowed } = transition;
  const detail = allowed.length > 0 ? `must be one of ${allowed.join(', ')}` : `${from} is a final status`;
  return new ProblemException('illegal-transition', `The status cannot change from ${from} to ${status!}`, {
    ...transition,
    errors: [{ field: 'status', detail, pointer: '/status' }],
  });
}

/** Creates a subscription. Fails with 409 when the email is already in use. */
export class CreateSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly subscription: CreateSubscription,
    readonly request: SubscriptionRequestContext,
  ) {
    super();
  }
}

@CommandHandler(CreateSubscriptionCommand)
export class CreateSubscriptionHandler implements ICommandHandler<CreateSubscriptionCommand> {
  constructor(private readonly writer: SubscriptionWriter) {}

  /** Preconditions are ignored, because the list to which a POST is sent has no entity tag. */
  async execute({ subscription, request }: CreateSubscriptionCommand): Promise<WrittenSubscription> {
    const { email, ...body } = subscription;
    return this.writer.write('create', email, body, { ...request, ifMatch: undefined, ifNoneMatch: undefined });
  }
}

/** Creates a subscription or replaces all its fields. Fails with 409 for a status transition that is not allowed, with 412 for a precondition. */
export class PutSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly subscription: PutSubscription,
    readonly request: SubscriptionRequestContext,
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
 * Changes the given fields; merges `metadata` member by member (RFC 7396). A change without an effect writes nothing and keeps the version.
 * Fails with 404, with 409 for a status transition that is not allowed, with 412 for a precondition.
 */
export class PatchSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly fields: PatchSubscription,
    readonly request: SubscriptionRequestContext,
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

/** Deletes a subscription. Fails with 404 when it does not exist, with 412 for a precondition. */
export class DeleteSubscriptionCommand extends Command<WrittenSubscription> {
  constructor(
    readonly email: string,
    readonly reason: string | undefined,
    readonly request: SubscriptionRequestContext,
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
