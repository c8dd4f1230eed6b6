import request from 'supertest';
import type { World } from '../../harness/world.js';

export const NDJSON = 'application/x-ndjson';

export const ndjson = (lines: readonly object[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('');

/** Sends an import of `file`; `query` begins with a question mark. */
export function sendFile(url: string, file: string | Buffer, type = NDJSON, query = ''): request.Test {
  return request(url)
    .post(`/subscriptions/import${query}`)
    .set('content-type', type)
    .serialize((body: unknown) => body as string)
    .send(file as string);
}

/** Returns the rows of Database 1 whose emails begin with the prefix, in their order, as {@link row} describes them. */
export async function importedRows(world: World, prefix: string): Promise<unknown[]> {
  const { rows } = await world.db1.query(
    `SELECT email, status, plan, to_char(access_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS until, cancel_at_period_end AS cancels, metadata
     FROM subscriptions WHERE starts_with(email, $1) ORDER BY email`,
    [prefix],
  );
  return rows;
}

/** Returns the row that is expected for an email of example.com. */
export const row = (email: string, status: string, others: object = {}): object => ({
  email: `${email}@example.com`,
  status,
  plan: null,
  until: null,
  cancels: false,
  metadata: {},
  ...others,
});
