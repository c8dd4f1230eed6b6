import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { OpenAPIObject } from '@nestjs/swagger';
import { SCOPES } from '#http';
import { routesOf } from '../../apps/server/src/openapi.js';
import { makeKey } from '../harness/credentials.js';
import { World } from '../harness/world.js';
import { type Collection, playCollection, requestsOf, routeOf } from './play-collection.js';

const collection = JSON.parse(readFileSync('docs/postman-collection.json', 'utf8')) as Collection & { readonly auth: unknown };
const requests = requestsOf(collection.item).map(({ request }) => request);

test('has every operation, under {{baseUrl}} and with {{apiKey}}', () => {
  const openapi = JSON.parse(readFileSync('docs/openapi.json', 'utf8')) as OpenAPIObject;
  const documented = routesOf(openapi).filter(({ path }) => !path.startsWith('/subscription_status'));
  expect(requests.map(routeOf).sort()).toEqual(
    documented.map(({ method, path }) => `${method.toUpperCase()} ${path.slice(1).replaceAll(/\{(\w+)\}/g, ':$1')}`).sort(),
  );
  for (const { url, auth } of requests) expect({ host: url.host, own: auth ?? null }).toEqual({ host: ['{{baseUrl}}'], own: null });
  expect(collection.auth).toMatchObject({ type: 'bearer', bearer: [{ key: 'token', value: '{{apiKey}}' }] });
});

test('every variable of a path has a value', () => {
  const values = requests.flatMap(({ url }) => (url.variable ?? []).map(({ value }) => value));
  const names = collection.variable.map(({ key }) => `{{${key}}}`);
  expect(values.length).toBeGreaterThan(15);
  expect(values.filter((value) => !names.includes(value))).toEqual([]);
  expect(collection.variable.filter(({ key, value }) => value === '' && key !== 'apiKey')).toEqual([]);
});

describe('played from top to bottom', () => {
  /** Requests that can come too early or too late, depending on how fast the run before them ends. Their conflict is documented. */
  const MAY_CONFLICT = [
    'POST reconciliation/resyncs',
    'POST reconciliation/runs/:id/pause',
    'POST reconciliation/runs/:id/resume',
    'POST reconciliation/runs/:id/cancel',
  ];

  let world: World;

  beforeAll(async () => {
    world = await World.started({ env: { ACCESS: 'required' } });
    // The requests for a dead letter need one. Its bytes are not an event, so a redrive fails and it stays open.
    await world.db2.query(
      `INSERT INTO subscription_sync.dead_letters (topic, partition, "offset", key, value, error_class, error) VALUES ($1, 0, 0, 'k', 'v', 'invalid_json', 'x')`,
      [world.topic],
    );
  });
  afterAll(() => world.close());

  test('each request has the values that it needs', async () => {
    const played = await playCollection(collection, { baseUrl: world.url, apiKey: await makeKey(world.db1, ...SCOPES) });
    expect(played).toHaveLength(requests.length);
    const failed = played.filter(({ route, status }) => status >= 400 && !(status === 409 && MAY_CONFLICT.includes(route)));
    expect(failed).toEqual([]);
  });
});
