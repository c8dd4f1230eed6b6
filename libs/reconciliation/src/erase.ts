import type { Query } from '#postgres';

/**
 * Erases an email, in all its spellings, from the reports of runs and from the lists of keys of both databases. The range and the position of
 * a run that has not ended are only widened, so that it leaves out no row; those of the run in progress change by themselves.
 */
export async function eraseFromReconciliation(db1: Query, db2: Query, spellings: readonly string[]): Promise<void> {
  await db1('DELETE FROM subscription_sync.reconciliation_differences WHERE email = ANY ($1)', [spellings]);
  await db1(
    `UPDATE subscription_sync.reconciliation_runs SET
       position = CASE WHEN position = ANY ($1) THEN left(position, 1) ELSE position END,
       after_email = CASE WHEN after_email = ANY ($1) THEN left(after_email, 1) ELSE after_email END,
       until_email = CASE WHEN until_email = ANY ($1) AND finished_at IS NOT NULL THEN left(until_email, 1)
         WHEN until_email = ANY ($1) THEN NULL ELSE until_email END
     WHERE (finished_at IS NOT NULL OR paused) AND (position = ANY ($1) OR after_email = ANY ($1) OR until_email = ANY ($1))`,
    [spellings],
  );
  for (const query of [db1, db2]) await query('DELETE FROM subscription_sync.row_keys WHERE key = ANY ($1)', [spellings]);
}
