import type { Pool } from 'pg';

interface LoggedChange {
  readonly version: number;
  readonly operation: string;
  readonly email: string;
}

/**
 * What in the log contradicts life, per email and in the order of versions: created while alive, changed or deleted while dead,
 * or a last change that is not the row's. Empty when every history is in order.
 */
export async function disorderIn(db1: Pool): Promise<string[]> {
  const { rows: log } = await db1.query<LoggedChange>(
    'SELECT version::int, operation, email FROM subscription_changes ORDER BY email, version',
  );
  const { rows: table } = await db1.query<{ email: string; version: number }>('SELECT email, version::int FROM subscriptions');
  const live = new Map<string, number>();
  const found: string[] = [];
  for (const { version, operation, email } of log) {
    const alive = live.has(email);
    if (alive === (operation === 'created')) found.push(`${email}: ${operation} at ${version} while ${alive ? 'alive' : 'dead'}`);
    if (operation === 'deleted') live.delete(email);
    else live.set(email, version);
  }
  for (const { email, version } of table) {
    if (live.get(email) !== version)
      found.push(`${email}: the row has version ${version}, the log ends with ${live.get(email) ?? 'a deletion'}`);
    live.delete(email);
  }
  for (const email of live.keys()) found.push(`${email}: lives in the log only`);
  return found;
}
