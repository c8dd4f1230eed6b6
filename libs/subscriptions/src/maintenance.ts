import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { retry, sleep, TIMINGS, type Timings } from '#config';
import { GracefulShutdown } from '#observability';
import { type Database, DB1, type Query } from '#postgres';

/** Deletes idempotency keys after 24 hours, in the background. Part of the api role. */
@Injectable()
export class Maintenance implements OnApplicationBootstrap {
  private readonly logger = new Logger('maintenance');
  private readonly stopping = new AbortController();

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(TIMINGS) private readonly timings: Timings,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onApplicationBootstrap(): void {
    const running = this.run().catch(() => undefined);
    this.shutdown.register({
      name: 'deleting old idempotency keys',
      stop: () => {
        this.stopping.abort();
        return running;
      },
    });
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const { maintenanceIntervalMs, maintenanceRetry } = this.timings.subscriptions;
    await Promise.race([this.db1.ready, aborted(signal)]);
    while (!signal.aborted) {
      await retry(() => this.maintain(), {
        backoff: maintenanceRetry,
        signal,
        onFailure: ({ message }, pauseMs) =>
          this.logger.warn({ code: 'maintenance-failed', message: `Maintenance failed: ${message}. Retrying in ${pauseMs / 1_000} s.` }),
      });
      await sleep(maintenanceIntervalMs, signal);
    }
  }

  private async maintain(): Promise<void> {
    await deleteOldIdempotencyKeys(this.db1.dataSource, this.stopping.signal);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}

/** Maximum number of rows that one statement of {@link deleteOldIdempotencyKeys} deletes. Short statements keep no other one waiting. */
const CHUNK_ROWS = 5_000;

/** Deletes the keys that are older than 24 hours. Several processes may do so at once. @returns the number of deleted keys. */
export async function deleteOldIdempotencyKeys(db1: DataSource, signal: AbortSignal): Promise<number> {
  let total = 0;
  for (let deleted = CHUNK_ROWS; deleted === CHUNK_ROWS && !signal.aborted; total += deleted) {
    const [, count] = await db1.query<[unknown, number]>(
      `DELETE FROM subscription_sync.idempotency_keys WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM subscription_sync.idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT ${CHUNK_ROWS} FOR UPDATE SKIP LOCKED))`,
    );
    deleted = count;
  }
  return total;
}

/**
 * Erases an email from the results of idempotent requests. `versions` are those of its changes. A result without its body still keeps a repeated
 * request from creating the subscription again; one whose key is made of the email goes.
 */
export async function eraseFromIdempotencyKeys(query: Query, email: string, versions: readonly number[]): Promise<void> {
  await query('DELETE FROM subscription_sync.idempotency_keys WHERE strpos(lower(key), $1) > 0 OR strpos(lower(principal), $1) > 0', [
    email,
  ]);
  await query(
    'UPDATE subscription_sync.idempotency_keys SET body = NULL WHERE body IS NOT NULL AND (version = ANY ($2::bigint[]) OR strpos(lower(body), $1) > 0)',
    [email, versions],
  );
}
