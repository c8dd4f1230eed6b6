import { BATCH } from '#change-log';

const FEW = 64;

/** What happened to the next rows of a range: `last` is the email of the last one. */
export interface Step {
  readonly last: string;
  readonly rows: number;
}

/**
 * SQL for the next rows by email, $1 < email <= $2, as `email` and `text`, in order: $3 at most, and of a batch's bytes; a row that is
 * larger comes alone. `text`: an expression of `s`, the row. Rows of version 0, which the log never knew, are left out.
 */
export function nextRows(text: string, join = ''): string {
  return `
WITH rows AS MATERIALIZED (
  SELECT s.email, ${text} AS text
  FROM subscriptions s ${join}
  WHERE s.email COLLATE "C" > $1 AND s.email COLLATE "C" <= $2 AND s.version > 0
  ORDER BY s.email COLLATE "C" LIMIT $3
), sized AS (
  SELECT *, row_number() OVER w AS n, sum(octet_length(text)) OVER w AS bytes FROM rows WINDOW w AS (ORDER BY email COLLATE "C")
)
SELECT email, text FROM sized WHERE n = 1 OR bytes <= ${BATCH.bytes} ORDER BY n`;
}

/**
 * How many rows to ask for. The database makes the text of all of them, also of those that then don't fit, and nobody knows how large
 * they are: few at first, twice as many after each time that all fitted.
 */
export class Portion {
  rows = FEW;

  took(rows: number): void {
    this.rows = Math.min(rows < this.rows ? rows + 1 : rows * 2, BATCH.changes);
  }
}

/** Reads on while the caller works on what it has. `read`: what follows an email; nothing at the end. */
export async function* readAhead<T extends { readonly last: string }>(
  after: string,
  read: (after: string) => Promise<T | undefined>,
): AsyncGenerator<T, void, void> {
  for (let next = read(after); ;) {
    const chunk = await next;
    if (chunk === undefined) return;
    next = read(chunk.last);
    // Its failure is told when it is awaited, if it ever is.
    next.catch(() => undefined);
    yield chunk;
  }
}
