import type { Sql } from './api-keys.js';
import type { Lease } from './shared-limit.js';

/** Older windows are of no use: a clock that is minutes behind counts alone. */
const WINDOWS_KEPT = 10;

/**
 * Leases of {@link SharedLimit} from the table `rate_limits`, in one statement. The row's lock makes them one after the other, so what is
 * given never exceeds the limit. What is refused is counted as taken, too, and changes nothing.
 */
export function leaseFromDb1(sql: Sql): Lease {
  let cleaned = 0;
  return async (window, subject, wanted, limit) => {
    const [row] = await sql.query<{ taken: number }>(
      `WITH lease AS (
         INSERT INTO rate_limits AS l ("window", subject, taken) VALUES ($1, $2, $3)
         ON CONFLICT ("window", subject) DO UPDATE SET taken = l.taken + excluded.taken
         RETURNING taken
       ) SELECT taken FROM lease`,
      [window, subject, wanted],
    );
    if (window > cleaned) {
      cleaned = window;
      sql.query('DELETE FROM rate_limits WHERE "window" < $1', [window - WINDOWS_KEPT]).catch(() => undefined);
    }
    const before = row!.taken - wanted;
    return Math.max(0, Math.min(wanted, limit - before));
  };
}
