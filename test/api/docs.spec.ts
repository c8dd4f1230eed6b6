import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import request from 'supertest';
import { World } from '../harness/world.js';

interface Operation {
  readonly requestBody?: { readonly content: Record<string, { readonly schema: unknown }> };
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: unknown }> }>;
}
interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly description: string };
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, Schema> };
}
interface Schema {
  readonly properties: Record<string, { readonly examples?: readonly unknown[] }>;
  readonly required?: string[];
}

let world: World;
let document: OpenApi;

beforeAll(async () => {
  world = await World.shared();
  document = (await request(world.url).get('/docs-json').expect(200)).body as OpenApi;
});
afterAll(() => world.close());

test('Swagger UI is served', async () => {
  const { text } = await request(world.url).get('/docs').redirects(1).expect(200).expect('content-type', /html/);
  expect(text).toContain('swagger-ui');
  await request(world.url).get('/docs/swagger-ui-bundle.js').expect(200);
});

test('every operation of a subscription is documented with its responses', () => {
  const root = '/subscriptions';
  const answers = Object.fromEntries(
    [root, `${root}/{email}`].flatMap((path) =>
      Object.entries(document.paths[path]!).map(([method, { responses }]) => [
        `${method} ${path.slice(root.length)}`,
        Object.keys(responses),
      ]),
    ),
  );
  expect(answers).toEqual({
    'post ': ['201', '202', '400', '401', '403', '409', '413', '415', '422', '429', '431', '500', '503'],
    'get ': ['200', '400', '401', '403', '429', '431', '500', '503'],
    'get /{email}': ['200', '304', '400', '401', '403', '404', '412', '414', '429', '431', '500', '503'],
    'put /{email}': ['200', '201', '202', '400', '401', '403', '409', '412', '413', '414', '415', '422', '429', '431', '500', '503'],
    'patch /{email}': ['200', '202', '400', '401', '403', '404', '409', '412', '413', '414', '415', '422', '429', '431', '500', '503'],
    'delete /{email}': ['202', '204', '400', '401', '403', '404', '409', '412', '413', '414', '415', '422', '429', '431', '500', '503'],
  });
});

test('the alias is described in one sentence and has no paths of its own', () => {
  expect(Object.keys(document.paths).filter((path) => path.startsWith('/subscription_status'))).toEqual([]);
  expect(document.info.description).toContain('is also available under `/subscription_status`');
});

test('probes and metrics are not part of the documented API', () => {
  expect(Object.keys(document.paths).filter((path) => !/^\/(?:subscription|access\/)/.test(path))).toEqual([
    '/events',
    '/events/stream',
    '/replica/subscriptions/{email}',
    '/imports/{id}',
    '/erasures',
    '/erasures/{id}',
  ]);
});

/** Returns the example that Swagger UI puts into its form. */
function exampleOf(schema: string): Record<string, unknown> {
  const entries = Object.entries(document.components.schemas[schema]!.properties);
  return Object.fromEntries(entries.flatMap(([name, { examples }]) => (examples ? [[name, examples[0]]] : [])));
}

test('the examples work unchanged, and the responses match the document', async () => {
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  const { components } = document;
  const expectSchema = (body: unknown, schema: string): void => {
    const validate = ajv.compile({ $ref: `#/components/schemas/${schema}`, components });
    expect({ valid: validate(body), errors: validate.errors }).toMatchObject({ valid: true });
  };
  const api = request(world.url);
  const created = await api.post('/subscriptions').send(exampleOf('CreateSubscription')).expect(201);
  expectSchema(created.body, 'SubscriptionView');
  expectSchema((await api.get('/subscriptions').expect(200)).body, 'SubscriptionPage');
  expectSchema((await api.put('/subscriptions/ada@example.com').send(exampleOf('PutSubscription')).expect(200)).body, 'SubscriptionView');
  expectSchema(
    (await api.patch('/subscriptions/ada@example.com').send(exampleOf('PatchSubscription')).expect(200)).body,
    'SubscriptionView',
  );
  expectSchema((await api.post('/subscriptions').send({}).expect(400)).body, 'Problem');
  expectSchema((await api.post('/subscriptions').send(exampleOf('CreateSubscription')).expect(409)).body, 'Problem');
});
