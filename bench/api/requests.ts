export const OPERATIONS = ['create', 'update', 'read'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** A request as it goes over the wire, and the status that it must be answered with. */
export interface Request {
  readonly text: string;
  readonly expected: number;
}

/** Rows that are updated and read, one after the other: no two of the 32 requests under way meet. */
export const ROWS = 5_000;

export function rowsEmail(owner: string, row: number): string {
  return `${owner}-row-${row}@example.com`;
}

/**
 * Endless requests of one kind on behalf of `owner`. Each create has an email of its own, and each update changes the row that it meets:
 * one that changes nothing writes nothing.
 */
export function requestsOf(owner: string, credential: string): (operation: Operation) => () => Request {
  const counts = { create: 0, update: 0, read: 0 };
  const request = (method: string, path: string, expected: number, body?: object): Request => {
    const json = body === undefined ? '' : JSON.stringify(body);
    const entity = body === undefined ? '' : `content-type: application/json\r\ncontent-length: ${json.length}\r\n`;
    const text = `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${credential}\r\n${entity}\r\n${json}`;
    return { text, expected };
  };
  const next = {
    create: (n: number) =>
      request('POST', '/subscriptions', 201, {
        email: `${owner}-new-${n}@example.com`,
        status: 'active',
        plan: 'pro',
        access_until: '2027-01-31T00:00:00Z',
        metadata: { source: 'web' },
      }),
    update: (n: number) =>
      request('PATCH', `/subscriptions/${rowsEmail(owner, n % ROWS)}`, 200, {
        status: Math.floor(n / ROWS) % 2 === 0 ? 'paused' : 'active',
      }),
    read: (n: number) => request('GET', `/subscriptions/${rowsEmail(owner, (n * 7) % ROWS)}`, 200),
  };
  return (operation) => () => next[operation](counts[operation]++);
}
