import type { Query } from '#postgres';
import { selectNewestChange } from './log-queries.js';

/** Erasure of an email from the log (ADR 34). */

/** Returns the version of an email's newest change, also when it was pruned; 0 for an email that never had one. */
export async function newestVersion(query: Query, email: string): Promise<number> {
  const [newest] = await query<{ version: number }>(selectNewestChange('$1', 'c.version'), [email]);
  return newest?.version ?? 0;
}

/** Returns the versions of an email's changes in the log. */
export async function versionsOf(query: Query, email: string): Promise<number[]> {
  const rows = await query<{ version: number }>('SELECT version FROM subscription_sync.changes WHERE email = $1', [email]);
  return rows.map(({ version }) => version);
}

/**
 * Erases an email from its changes up to a version. They stay in the log as deletions of an email that never exists, because cursors of the
 * feed and the check for gaps rely on their versions, and a replay of the log publishes them without an effect. With `keepVersion` the
 * email and its last version stay beside the log, where they were if its partition had been dropped; without it they go, too.
 * @throws PostgreSQL's error insufficient_privilege when no erasure of the email was requested.
 */
export async function eraseChanges(query: Query, email: string, version: number, keepVersion: boolean): Promise<void> {
  await query('SELECT subscription_sync.erase_changes($1, $2, $3)', [email, version, keepVersion]);
}
