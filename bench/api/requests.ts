export const OPERATIONS = ['create', 'update', 'read'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** A request as it is sent, and the status that its response must have. */
export interface Request {
  readonly text: string;
  readonly expected: number;
}

/** Number of rows that are updated and read in turn, so that no two of the 32 concurrent requests use the same row. */
export const ROWS = 5_000;

export function rowsEmail(owner: string, row: number): string {
  return `${owner}-row-${row}@example.com`;
}

/**
 * Returns a generator of endless requests of one kind for `owner`. Each create has an email of its own, and each update changes its row,
 * because an update that changes nothing writes nothing.
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
