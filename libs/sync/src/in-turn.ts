import type { Client } from 'pg';

/**
 * A client that several parts ask, each without knowing of the others: every statement waits here until those before it are
 * answered or refused. pg queues them itself, warns of it in the log of whoever runs the service, and stops doing it in version 9.
 * For statements that give a promise.
 */
export function inTurn(client: Client): Client {
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
  let before: Promise<unknown> = Promise.resolve();
  const ask = (...args: unknown[]): Promise<unknown> => {
    const answer = before.then(() => query(...args));
    before = answer.catch(() => undefined);
    return answer;
  };
  return Object.assign(client, { query: ask });
}
