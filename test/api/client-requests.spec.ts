import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { World } from '../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Sends a request with exactly these lines of its head: clients of the test add or drop headers. */
async function send(start: string, headers: readonly string[], body = ''): Promise<Answer> {
  const { hostname, port } = new URL(world.url);
  const head = [`${start} HTTP/1.1`, `Host: ${hostname}`, 'Connection: close', ...headers].join('\r\n');
  const text = await new Promise<string>((resolve, reject) => {
    let received = '';
    const socket = connect(Number(port), hostname, () => socket.write(`${head}\r\n\r\n${body}`));
    socket
      .on('data', (chunk) => (received += chunk.toString()))
      .on('end', () => resolve(received))
      .on('error', reject);
  });
  return { status: Number(text.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)), body: text.slice(text.indexOf('\r\n\r\n') + 4) };
}

describe('a request that names the type of a body and has none', () => {
  const TYPE = 'Content-Type: application/json';
  const EMPTY: readonly (readonly [name: string, headers: readonly string[], body: string])[] = [
    ['without a length', [TYPE], ''],
    ['with a length of 0', [`${TYPE}; charset=utf-8`, 'Content-Length: 0'], ''],
    ['chunked', [TYPE, 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
  ];

  test.each(EMPTY)('is a DELETE as any other: %s', async (_, headers, body) => {
    await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('leaver@example.com', 'active')`);
    expect(await send('DELETE /subscriptions/leaver@example.com', headers, body)).toEqual({ status: 204, body: '' });
    expect(await send('DELETE /subscriptions/leaver@example.com', headers, body)).toMatchObject({ status: 404 });
  });

  test.each(EMPTY)('is a POST that needs none as any other: %s', async (_, headers, body) => {
    expect(await send('POST /reconciliation/runs/999999/pause', headers, body)).toMatchObject({ status: 404 });
  });

  test.each(EMPTY)('is a clear 400 where a body is needed: %s', async (_, headers, body) => {
    for (const start of ['POST /subscriptions', 'PUT /subscriptions/comer@example.com', 'PATCH /subscriptions/comer@example.com']) {
      const answer = await send(start, headers, body);
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body)).toMatchObject({
        type: '/problems/invalid-request',
        detail: 'The body must be a JSON object, sent as application/json',
      });
    }
  });

  test('a DELETE with a body that is not JSON is still refused', async () => {
    expect(await send('DELETE /subscriptions/leaver@example.com', [TYPE, 'Content-Length: 1'], '{')).toMatchObject({ status: 400 });
  });
});
