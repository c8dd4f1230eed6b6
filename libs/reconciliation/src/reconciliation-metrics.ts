import { Inject, Injectable } from '@nestjs/common';
import { Counter, Registry } from 'prom-client';
import type { ChainBreak } from './continuity.js';
import type { Progress } from './runs.js';

/** Metrics of the comparison of DB1 with DB2. */
@Injectable()
export class ReconciliationMetrics {
  private readonly breaks: Counter;
  private readonly compared: Counter;
  private readonly repaired: Counter;
  private last: (Progress & { readonly run: number }) | undefined;

  constructor(@Inject(Registry) registry: Registry) {
    const registers = [registry];
    this.breaks = new Counter({
      name: 'subscription_sync_chain_breaks_total',
      help: 'How often the chain DB1, Kafka, DB2 was found broken, by what happened; a pass over all rows follows',
      labelNames: ['reason'],
      registers,
    });
    this.compared = new Counter({
      name: 'subscription_sync_reconciled_rows_total',
      help: 'Rows of DB1 that were compared with DB2',
      registers,
    });
    this.repaired = new Counter({
      name: 'subscription_sync_repairs_total',
      help: 'Changes appended to the log because a row of DB2 was not as in DB1',
      registers,
    });
  }

  broken(reason: ChainBreak): void {
    this.breaks.inc({ reason });
  }

  /** Totals of a pass; what another process did of it does not count. */
  progressed(run: number, progress: Progress): void {
    if (this.last?.run === run) {
      this.compared.inc(progress.compared - this.last.compared);
      this.repaired.inc(progress.repaired - this.last.repaired);
    }
    this.last = { run, ...progress };
  }
}
