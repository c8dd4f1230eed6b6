/**
 * `FROM … WHERE …` of the changes `l` that are committed and beyond the checkpoint: not known to be on Kafka. Before the first
 * checkpoint these are all.
 */
export const BEYOND_CHECKPOINT = `
FROM subscription_changes l, (
  SELECT published_snapshot AS snapshot FROM sync_checkpoint UNION ALL SELECT '1:1:'::pg_snapshot LIMIT 1
) c
WHERE l.txid >= pg_snapshot_xmin(c.snapshot) AND NOT pg_visible_in_snapshot(l.txid, c.snapshot)`;
