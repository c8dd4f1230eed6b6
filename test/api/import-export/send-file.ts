import request from 'supertest';

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
