import type { DataSource } from 'typeorm';

const CHUNK = 2_000;

interface ChangedEmailRow {
  readonly txid: string;
  readonly version: number;
  readonly email: string;
}

/** Changes of transactions that `since` does not see, in the order of the log's index. Those of transactions that are open now come next time. */
const CHANGED = `
SELECT c.txid::text AS txid, c.version, c.email FROM subscription_changes c
WHERE c.txid >= pg_snapshot_xmin($1::pg_snapshot) AND (c.txid, c.version) > ($2::xid8, $3) AND NOT pg_visible_in_snapshot(c.txid, $1::pg_snapshot)
ORDER BY c.txid, c.version LIMIT ${CHUNK}`;

/** Emails that were changed since a snapshot of DB1, some at a time. One may come twice. */
export async function* changedEmails(db1: DataSource, since: string): AsyncGenerator<string[]> {
  let [txid, version] = ['0', 0];
  for (;;) {
    const rows = await db1.query<ChangedEmailRow[]>(CHANGED, [since, txid, version]);
    if (rows.length > 0) yield [...new Set(rows.map(({ email }) => email))];
    if (rows.length < CHUNK) return;
    ({ txid, version } = rows.at(-1)!);
  }
}
