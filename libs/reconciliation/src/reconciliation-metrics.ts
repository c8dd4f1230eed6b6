import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Registry } from 'prom-client';
import { CAUSES, causeOf } from './cause.js';
import type { ChainBreak } from './continuity.js';
import type { Difference } from './look-at-rows.js';
import type { Progress } from './runs.js';

/** Metrics of the comparison of DB1 with DB2. */
@Injectable()
export class ReconciliationMetrics {
  private readonly breaks: Counter;
  private readonly compared: Counter;
  private readonly differences: Counter;
  private readonly repairs: Counter;
  private readonly inFlight: Gauge;
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
    this.differences = new Counter({
      name: 'subscription_sync_differences_total',
      help: 'Rows that were not the same in DB1 and DB2 when everything had arrived, by cause',
      labelNames: ['cause'],
      registers,
    });
    this.repairs = new Counter({
      name: 'subscription_sync_repairs_total',
      help: 'Differences that were repaired and seen equal after it, by cause',
      labelNames: ['cause'],
      registers,
    });
    for (const cause of CAUSES) {
      this.differences.inc({ cause }, 0);
      this.repairs.inc({ cause }, 0);
    }
    this.inFlight = new Gauge({
      name: 'subscription_sync_differences_in_flight',
      help: 'Rows that differ now and may be on their way, of the run that is under way',
      registers,
    });
  }

  broken(reason: ChainBreak): void {
    this.breaks.inc({ reason });
  }

  found(differences: readonly Difference[]): void {
    for (const difference of differences) this.differences.inc({ cause: causeOf(difference) });
  }

  repaired(causes: readonly string[]): void {
    for (const cause of causes) this.repairs.inc({ cause });
  }

  /** Totals of a run; what another process did of it does not count. */
  progressed(run: number, progress: Progress): void {
    if (this.last?.run === run) this.compared.inc(progress.compared - this.last.compared);
    this.inFlight.set(progress.in_flight);
    this.last = { run, ...progress };
  }

  /** No run is under way here. */
  rested(): void {
    this.inFlight.set(0);
  }
}
