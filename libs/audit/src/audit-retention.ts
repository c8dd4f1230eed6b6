import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { retry, SETTINGS, type Settings, sleep, TIMINGS, type Timings } from '#config';
import { GracefulShutdown } from '#observability';
import { type Database, DB1 } from '#postgres';

/** Deletes entries of the audit log after AUDIT_RETENTION_DAYS, in the background. Part of every process with Database 1. */
@Injectable()
export class AuditRetention implements OnApplicationBootstrap {
  private readonly logger = new Logger('audit');
  private readonly stopping = new AbortController();

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(SETTINGS) private readonly settings: Settings,
    @Inject(TIMINGS) private readonly timings: Timings,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onApplicationBootstrap(): void {
    const running = this.run().catch(() => undefined);
    this.shutdown.register({
      name: 'deleting old entries of the audit log',
      stop: () => {
        this.stopping.abort();
        return running;
      },
    });
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const { pruneIntervalMs, pruneRetry } = this.timings.audit;
    await Promise.race([this.db1.ready, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
    while (!signal.aborted) {
      await retry(() => pruneAudit(this.db1.dataSource, this.settings.auditRetentionDays, signal), {
        backoff: pruneRetry,
        signal,
        onFailure: ({ message }, pauseMs) =>
          this.logger.warn({
            code: 'audit-retention-failed',
            message: `Old entries of the audit log were not deleted: ${message}. Retrying in ${pauseMs / 1_000} s.`,
          }),
      });
      await sleep(pruneIntervalMs, signal);
    }
  }
}

/** Deletes the entries that are older than so many days, some thousand at a time. Several processes may do so at once. */
async function pruneAudit(db1: DataSource, days: number, signal: AbortSignal): Promise<void> {
  for (let deleted = 1; deleted > 0 && !signal.aborted;) {
    const [pruned] = await db1.query<[{ count: number }]>('SELECT subscription_sync.prune_audit($1)::int AS count', [days]);
    deleted = pruned.count;
  }
}
