import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { forgetIdempotencyKeys, makeListIndexes } from '#databases';
import { Shutdown } from '#observability';
import { type Database, DB1 } from '#postgres';

const EVERY_MS = 600_000;
const RETRY_MS = 60_000;

/** Of the api role, in the background: forgets idempotency keys after 24 hours, and makes the lists' indexes where they are missing. */
@Injectable()
export class Upkeep implements OnApplicationBootstrap {
  private readonly logger = new Logger('upkeep');
  private readonly stopping = new AbortController();

  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly shutdown: Shutdown,
  ) {}

  onApplicationBootstrap(): void {
    const running = this.run().catch(() => undefined);
    this.shutdown.register({
      name: "the lists' indexes and old idempotency keys",
      stop: () => {
        this.stopping.abort();
        return running;
      },
    });
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    await Promise.race([this.db1.ready, aborted(signal)]);
    while (!signal.aborted) {
      let pause = EVERY_MS;
      try {
        const made = await makeListIndexes(this.db1.dataSource, signal);
        if (made.length > 0) this.logger.log(`Made ${made.join(', ')} on subscriptions`);
        await forgetIdempotencyKeys(this.db1.dataSource, signal);
      } catch (error) {
        if (!signal.aborted) this.logger.warn(`Not done: ${(error as Error).message}. Trying again in ${RETRY_MS / 1_000} s.`);
        pause = RETRY_MS;
      }
      await delay(pause, undefined, { signal }).catch(() => undefined);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}
