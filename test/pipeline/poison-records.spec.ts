import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { recordOf } from '../harness/history.js';
import { putOnTopic, World } from '../harness/world.js';

/** Number of rows of a run: they are still arriving when the poison records come. */
const ROWS = 4_000;
/**
 * Number of runs, of which the fastest counts. Beside other tests, the slowest run over the same rows took twice as long as
 * the fastest, with poison records and without.
 */
const ROUNDS = 2;
/**
 * How much longer the rows may take beside poison records: 2 s on a quiet machine, where they take 1 s without. It is a ratio, because both
 * times grow alike on a slow machine, or a busy one.
 */
const MAX_RATIO = 3;

let world: World;

beforeAll(async () => {
  world = await World.started();
});
afterAll(() => world.close());

const good = { email: 'poison@example.com', version: 9_000_000, operation: 'created', status: 'active' } as const;
const bytesOf = (change: object): Buffer => recordOf({ ...good, ...change }, 0).value!;

/** An incompressible text that is longer than an index entry may be. */
const LONG = randomBytes(6_000).toString('hex');

const POISON: [errorClass: string, key: string | null, value: Buffer | string | null][] = [
  ['no-key', null, bytesOf({})],
  ['no-value', good.email, null],
  ['not-json', good.email, '{"specversion":'],
  ['not-utf8', good.email, Buffer.from([0xff, 0xfe, 0x00])],
  ['not-an-event', good.email, '{"specversion":"1.0"}'],
  ['version-out-of-range', good.email, bytesOf({}).toString().replaceAll('9000000', '9007199254740993')],
  ['key-mismatch', 'other@example.com', bytesOf({})],
  ['22P05', good.email, bytesOf({ image: { metadata: { a: '\u0000' } } })],
  ['22007', good.email, bytesOf({ image: { access_until: 'soon' } })],
  ['54000', LONG, bytesOf({ email: LONG })],
];

/** Returns the time (ms) from the start of the statement until DB2 has all its rows. */
async function timeToArrive(name: string): Promise<number> {
  const started = performance.now();
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT '${name}' || i || '@example.com' FROM generate_series(1, ${ROWS}) i`);
  await eventually(async () => {
    const { rows } = await world.db2.query<{ n: number }>(`SELECT count(*)::int AS n FROM subscriptions WHERE email LIKE '${name}%'`);
    return rows[0]!.n === ROWS;
  });
  return performance.now() - started;
}

test('poison records of every kind delay no other record', async () => {
  const records = POISON.map(([, key, value]) => ({ key, value }));
  const [without, beside]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    without.push(await timeToArrive(`clean${round}-`));
    const arriving = timeToArrive(`mixed${round}-`);
    await putOnTopic(world, records);
    beside.push(await arriving);
  }
  expect(Math.min(...beside)).toBeLessThan(MAX_RATIO * Math.min(...without));
  const letters = await eventually(async () => {
    const { rows } = await world.db2.query<{ error_class: string; key: Buffer | null; value: Buffer | null; topic: string }>(
      'SELECT * FROM subscription_sync.dead_letters',
    );
    return rows.length >= POISON.length * ROUNDS ? rows : undefined;
  });
  const expected = POISON.flatMap(([errorClass]) => Array<string>(ROUNDS).fill(errorClass));
  expect(letters.map(({ error_class }) => error_class).sort()).toEqual(expected.sort());
  for (const [index, [errorClass]] of POISON.entries()) {
    const { key, value } = records[index]!;
    for (const letter of letters.filter((candidate) => candidate.error_class === errorClass)) {
      expect({ key: letter.key, value: letter.value, topic: letter.topic }).toEqual({
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
        topic: world.topic,
      });
    }
  }
  await expectEqualDatabases(world);
});
