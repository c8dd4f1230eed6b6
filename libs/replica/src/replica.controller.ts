import { Catch, Controller, type RpcExceptionFilter, UseFilters } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { type Observable, throwError } from 'rxjs';
import { SUBSCRIPTION_EVENTS } from '#events';
import type { PartitionBatch } from '#kafka';
import { ApplyChanges } from './apply-changes.js';

/** Passes the error on unchanged: Nest's default turns every error into "Internal server error", and the retry's log line would not say why. */
@Catch()
class KeepError implements RpcExceptionFilter {
  catch(error: unknown): Observable<never> {
    return throwError(() => error);
  }
}

/** Receives the topic's events, one batch of a partition at a time. */
@Controller()
@UseFilters(KeepError)
export class ReplicaController {
  constructor(private readonly changes: ApplyChanges) {}

  @EventPattern(SUBSCRIPTION_EVENTS)
  async apply(@Payload() batch: PartitionBatch): Promise<void> {
    await this.changes.apply(batch);
  }
}
