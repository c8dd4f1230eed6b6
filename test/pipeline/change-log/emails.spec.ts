import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { storyOf } from '../../harness/databases.js';
import { World } from '../../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const insert = (email: string | null): Promise<unknown> => world.db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);

test.each([
  ['  Ada@Example.COM\t\r\n', 'ada@example.com', 'blanks and capitals'],
  ['\u00a0nbsp@example.com\u00a0', 'nbsp@example.com', 'no-break spaces'],
  ['e\u0301ve@example.com', '\u00e9ve@example.com', 'NFD becomes NFC'],
  ['\u00c9mile@example.com', '\u00e9mile@example.com', 'capitals beyond ASCII'],
  ['\u0130stanbul@example.com', 'i\u0307stanbul@example.com', "a dotted capital I, by Unicode's root rule"],
  ['Stra\u00dfe@example.com', 'stra\u00dfe@example.com', 'a letter that has no other lower case'],
  ['\u039f\u0394\u039f\u03a3@example.com', '\u03bf\u03b4\u03bf\u03c2@example.com', 'a final sigma'],
  [`"a b"@example.com`, `"a b"@example.com`, 'blanks inside stay'],
  [`o'brien\\"x"@example.com`, `o'brien\\"x"@example.com`, 'quotes and backslashes'],
])('%j is stored as it is, and its key is %j: %s', async (written, key) => {
  await insert(written);
  const { rows } = await world.db1.query('SELECT FROM subscriptions WHERE email = $1', [written]);
  expect(rows).toHaveLength(1);
  expect((await storyOf(world.db1)).at(-1)).toBe(`created ${key}`);
});

test('another spelling of an email is a change of the same key', async () => {
  await insert('same@example.com');
  await world.db1.query(`UPDATE subscriptions SET email = 'SAME@example.com ' WHERE email = 'same@example.com'`);
  expect((await storyOf(world.db1)).slice(-2)).toEqual(['created same@example.com', 'updated same@example.com']);
});

test.each([
  ['', '23514'],
  [' \t ', '23514'],
  [null, '23502'],
])('no email (%j) is refused', async (email, code) => {
  await expect(insert(email)).rejects.toMatchObject({ code });
});
