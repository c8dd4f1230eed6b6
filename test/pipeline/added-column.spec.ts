import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { EVENT_SCHEMA, ROW_COLUMN_NAMES } from '#events';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';

/**
 * A business column is added in one place, libs/events/src/columns.ts, and to both tables by a migration. The server of this spec runs
 * with one more column, and checks that it is supported everywhere.
 */
const COLUMNS = ROW_COLUMN_NAMES.flatMap((name) => (name === 'created_at' ? ['coupon', name] : [name]));

let world: World;
let server: ServerProcess;
const api = (): ReturnType<typeof request> => request(server.url);
const path = '/subscriptions/ada@example.com';

beforeAll(async () => {
  world = await World.create({ unmigrated: true });
  server = await ServerProcess.start(world.environment(), ['--import', './dist/test/harness/added-column.js']);
});
afterAll(async () => {
  await server.signal('SIGTERM');
  await world.close();
});

describe('A column that was added to the list', () => {
  test('is written by POST, PATCH and PUT, and validated', async () => {
    const created = await api().post('/subscriptions').send({ email: 'ada@example.com', status: 'active', coupon: 'SPRING' }).expect(201);
    expect(Object.keys(created.body as object)).toEqual([...COLUMNS, 'version']);
    expect(created.body).toMatchObject({ coupon: 'SPRING' });
    await api()
      .post('/subscriptions')
      .send({ email: 'b@example.com', status: 'active', coupon: 'x'.repeat(21) })
      .expect(400);
    expect((await api().put(path).send({ status: 'active' }).expect(200)).body).toMatchObject({ coupon: null });
    expect((await api().patch(path).send({ coupon: 'AUTUMN' }).expect(200)).body).toMatchObject({ coupon: 'AUTUMN' });
  });

  test('is read by GET, in lists, in the history and from DB2', async () => {
    await expectEqualDatabases(world);
    expect((await api().get(path).expect(200)).body).toMatchObject({ coupon: 'AUTUMN' });
    const { body: list } = await api().get('/subscriptions').expect(200);
    expect((list as { data: unknown[] }).data).toEqual([expect.objectContaining({ coupon: 'AUTUMN' })]);
    const { body: history } = await api().get(`${path}/history`).expect(200);
    expect((history as { data: unknown[] }).data[0]).toMatchObject({ changes: { coupon: { from: null, to: 'AUTUMN' } } });
    expect((await api().get(`/replica${path}`).expect(200)).body).toMatchObject({ coupon: 'AUTUMN' });
  });

  test('is exported and imported in both formats', async () => {
    const csv = await api().get('/subscriptions/export?format=csv').buffer(true).expect(200);
    expect(csv.text.split('\r\n')[0]).toBe(COLUMNS.join(','));
    const ndjson = await api().get('/subscriptions/export').buffer(true).expect(200);
    expect(JSON.parse(ndjson.text)).toMatchObject({ coupon: 'AUTUMN' });
    const file = 'email,status,coupon\nada@example.com,active,WINTER\n';
    const imported = await api().post('/subscriptions/import').set('content-type', 'text/csv').send(file).expect(201);
    expect(imported.body).toMatchObject({ updated: 1, refused: 0 });
    const line = JSON.stringify({ email: 'ada@example.com', status: 'active', coupon: 1 });
    const refused = await api().post('/subscriptions/import').set('content-type', 'application/x-ndjson').send(`${line}\n`).expect(201);
    expect(refused.body).toMatchObject({ refused: 1, errors: [{ field: 'coupon' }] });
  });

  test('is compared and repaired', async () => {
    await expectEqualDatabases(world);
    await world.db2.query(`UPDATE subscriptions SET coupon = 'DRIFT'`);
    const { body: run } = await api().post('/reconciliation/runs').send({ repair: true }).expect(202);
    await eventually(async () => {
      const { body } = await api().get(`/reconciliation/runs/${(run as { id: number }).id}`);
      expect(body).toMatchObject({ outcome: 'repaired', differing: 1, repaired: 1 });
      return true;
    });
    const { rows } = await world.db2.query('SELECT coupon FROM subscriptions');
    expect(rows).toEqual([{ coupon: 'WINTER' }]);
  });

  test('is documented in OpenAPI and in the schema of the event', async () => {
    const { body } = await api().get('/docs-json').expect(200);
    const { schemas } = (body as { components: { schemas: Record<string, { properties: object }> } }).components;
    for (const name of ['SubscriptionView', 'CreateSubscription', 'PutSubscription', 'PatchSubscription']) {
      expect(schemas[name]!.properties).toHaveProperty('coupon');
    }
    // Built from the list when its module is loaded, which is here without the added column.
    expect(Object.keys(EVENT_SCHEMA.properties.data.properties.subscription.properties)).toEqual(ROW_COLUMN_NAMES);
  });

  test('stops the replica when DB2 does not have it', async () => {
    await world.db2.query('ALTER TABLE subscriptions DROP COLUMN coupon');
    await api().patch(path).send({ coupon: 'LOST' }).expect(200);
    await eventually(async () => {
      const { body } = await api().get('/health/ready');
      return JSON.stringify(body).includes('ADD COLUMN coupon text');
    });
  });
});
