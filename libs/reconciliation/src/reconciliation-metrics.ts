import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Registry } from 'prom-client';
import { GAP_DESCRIPTIONS, type ContinuityGap } from './gaps.js';
import { causeOf, CAUSES, type Difference } from './recheck-rows.js';
import type { Progress } from './runs.js';

/** Metrics of comparing DB1 with DB2. */
@Injectable()
export class ReconciliationMetrics {
  private readonly gaps: Counter;
  private readonly compared: Counter;
  private readonly differences: Counter;
  private readonly repairs: Counter;
  private readonly inFlight: Gauge;
  /** Rows of the current run that are already counted. */
  private counted = 0;

  constructor(@Inject(Registry) registry: Registry) {
    const registers = [registry];
    this.gaps = new Counter({
      name: 'subscription_sync_chain_breaks_total',
      help: 'Continuity gaps found in the chain DB1, Kafka, DB2, by reason; a run over all rows follows',
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
      help: 'Rows that differed between DB1 and DB2 after the stream had passed them, by cause',
      labelNames: ['cause'],
      registers,
    });
    this.repairs = new Counter({
      name: 'subscription_sync_repairs_total',
      help: 'Differences that were repaired and then seen equal, by cause',
      labelNames: ['cause'],
      registers,
    });
    // A counter that appears with its first increment shows no increase.
    for (const reason of Object.keys(GAP_DESCRIPTIONS)) this.gaps.inc({ reason }, 0);
    for (const cause of CAUSES) {
      this.differences.inc({ cause }, 0);
      this.repairs.inc({ cause }, 0);
    }
    this.inFlight = new Gauge({
      name: 'subscription_sync_differences_in_flight',
      help: 'Rows of the current run that differ now and may be on their way',
      registers,
    });
  }

  gapFound(reason: ContinuityGap): void {
    this.gaps.inc({ reason });
  }

  found(differences: readonly Difference[]): void {
    for (const difference of differences) this.differences.inc({ cause: causeOf(difference) });
  }

  repaired(causes: readonly string[]): void {
    for (const cause of causes) this.repairs.inc({ cause });
  }

  /** Called when this process starts or resumes a run. Rows that were compared before do not count. */
  started({ compared }: Progress): void {
    this.counted = compared;
  }

  /** Called with the totals of the current run. */
  progressed({ compared, in_flight }: Progress): void {
    this.compared.inc(compared - this.counted);
    this.counted = compared;
    this.inFlight.set(in_flight);
  }

  /** Called when this process ends its work on a run. */
  ended(): void {
    this.inFlight.set(0);
  }
}
