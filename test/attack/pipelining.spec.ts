import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { eventually } from '../harness/eventually.js';
import { EventSource } from '../harness/http-clients.js';
import { World } from '../harness/world.js';
import { rawRequest } from './raw-connection.js';

const MAX_STREAMS = 3;

let world: World;

beforeEach(async () => {
  world = await World.started({ servers: [['api']], env: { EVENT_STREAMS: String(MAX_STREAMS) } });
});
afterEach(() => world.close());

/** Requests event streams one behind the other on one connection, and closes it when the first has begun: Node answers the second after it. */
async function leaveWaitingStreams(): Promise<void> {
  const { hostname, port } = new URL(world.url);
  const socket = connect(Number(port), hostname);
  socket.write(rawRequest('GET /events/stream').repeat(MAX_STREAMS));
  await once(socket, 'data');
  socket.destroy();
}

test('streams that wait behind another response end with their connection', async () => {
  await leaveWaitingStreams();
  await eventually(async () => {
    const streams = await Promise.all(Array.from({ length: MAX_STREAMS }, () => EventSource.open(`${world.url}/events/stream`)));
    for (const stream of streams) stream.close();
    expect(streams.map(({ response }) => response.status)).toEqual(Array(MAX_STREAMS).fill(200));
    return true;
  }, 10_000);
});

test('responses that wait behind another one hold up no stop once their connection is closed', async () => {
  await leaveWaitingStreams();
  await expect(world.stop()).resolves.toBeUndefined();
});
