import { Logger } from '@nestjs/common';
import { type ContinuityGap, GAP_DESCRIPTIONS } from './gaps.js';
import type { Interrupted, Outcome, Progress, Run } from './runs.js';

const INTERRUPTIONS: Readonly<Record<Interrupted['by'], string>> = {
  cancel: 'was cancelled',
  pause: 'was paused',
  yield: 'gives way to a requested run, and continues after it',
};

/** The lines of the log about runs. */
export class RunLog {
  private readonly logger = new Logger('reconciliation');

  gapFound(gap: ContinuityGap): void {
    this.logger.error({
      code: 'continuity-gap',
      message: `${GAP_DESCRIPTIONS[gap]}. All rows are compared now, and DB2 is repaired to match DB1.`,
    });
  }

  firstBackfill(): void {
    this.logger.log({ code: 'first-backfill', message: 'The rows that existed before the service came are copied to DB2' });
  }

  widened({ id, reason }: Run): void {
    this.logger.log({
      code: 'run-widened',
      message: `Run ${id} (${reason}) compares all rows: so many emails have changed that this takes less time`,
    });
  }

  interrupted({ id, reason }: Run, by: Interrupted['by']): void {
    this.logger.log({ code: 'run-interrupted', message: `Run ${id} (${reason}) ${INTERRUPTIONS[by]}` });
  }

  foreignVersions(emails: number): void {
    this.logger.error({
      code: 'foreign-versions',
      message: `Emails of which DB2 has a version that DB1 never drew: ${emails}. DB1.subscription_sync.reconciliation_differences lists them with cause foreign.`,
    });
  }

  ended({ id, reason, repair_limit: limit }: Run, outcome: Outcome, { compared, differing, repaired }: Progress): void {
    const summary = `Run ${id} (${reason}) has ended. Rows compared: ${compared}, differing: ${differing}, repaired: ${repaired}`;
    if (outcome === 'equal' || outcome === 'repaired' || outcome === 'resynced') {
      this.logger.log({ code: 'run-ended', message: summary });
    } else if (outcome === 'differs') {
      this.logger.warn({
        code: 'run-left-differences',
        message: `${summary}. DB1.subscription_sync.reconciliation_differences lists the others.`,
      });
    } else {
      this.logger.error({
        code: 'repair-limit-exceeded',
        message: `${summary}. More than ${limit} differ, so the others were not repaired: check DB1.subscription_sync.reconciliation_differences, then start a run that repairs them all, or raise RECONCILE_REPAIR_AT_MOST.`,
      });
    }
  }
}
