import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Registry } from 'prom-client';
import { causeOf, CAUSES } from './recheck-rows.js';
import type { ContinuityGap } from './gaps.js';
import type { Difference } from './recheck-rows.js';
import type { Progress } from './runs.js';

/** Metrics of the comparison of DB1 with DB2. */
@Injectable()
export class ReconciliationMetrics {
  private readonly breaks: Counter;
  private readonly compared: Counter;
  private readonly differences: Counter;
  private readonly repairs: Counter;
  private readonly inFlight: Gauge;
  /** Rows of the run under way that are counted. */
  private seen = 0;

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

  broken(reason: ContinuityGap): void {
    this.breaks.inc({ reason });
  }

  found(differences: readonly Difference[]): void {
    for (const difference of differences) this.differences.inc({ cause: causeOf(difference) });
  }

  repaired(causes: readonly string[]): void {
    for (const cause of causes) this.repairs.inc({ cause });
  }

  /** A run is begun or gone on with here: what was compared of it before, by another process or in vain, does not count. */
  began({ compared }: Progress): void {
    this.seen = compared;
  }

  /** Totals of the run that is under way here. */
  progressed({ compared, in_flight }: Progress): void {
    this.compared.inc(compared - this.seen);
    this.seen = compared;
    this.inFlight.set(in_flight);
  }

  /** No run is under way here. */
  rested(): void {
    this.inFlight.set(0);
  }
}
