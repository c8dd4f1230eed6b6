import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { changesOf } from '../harness/databases.js';
import { World } from '../harness/world.js';
import { NDJSON, sendFile } from './import-export/send-file.js';

const EMAIL = 'bodies@example.com';
const PATH = `/subscriptions/${EMAIL}`;

let world: World;
let before: number;

beforeAll(async () => {
  world = await World.shared();
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [EMAIL]);
});
afterAll(() => world.close());
beforeEach(async () => {
  before = (await changesOf(world.db1)).length;
});

interface Problem {
  readonly detail: string;
  readonly errors?: readonly { readonly pointer?: string; readonly detail: string }[];
}

/** Sends a body in each way that takes JSON. Returns the distinct answers, and checks that nothing was changed. */
async function refusalsOf(body: string | Buffer, headers: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const api = request(world.url);
  const answers = new Set<string>();
  for (const [sent, type] of [
    [api.post('/subscriptions'), 'application/json'],
    [api.put(PATH), 'application/json'],
    [api.patch(PATH), 'application/json'],
    [api.patch(PATH), 'application/merge-patch+json'],
    [api.delete(PATH), 'application/json'],
  ] as const) {
    const {
      status,
      headers: answered,
      body: problem,
    } = await sent
      .set({ 'content-type': type, ...headers })
      .serialize((text: unknown) => text as string)
      .send(body as string);
    const { errors, detail } = problem as Problem;
    expect(answered['content-type']).toMatch(/^application\/problem\+json/);
    const accepted = answered['accept-encoding'];
    answers.add([status, ...(accepted === undefined ? [] : [accepted]), ...(errors ?? [{ detail }]).map(text)].join(' '));
  }
  expect(await changesOf(world.db1)).toHaveLength(before);
  return [...answers];
}

const text = ({ pointer = '', detail }: { pointer?: string; detail: string }): string => `${pointer} ${detail.split(/[,.]/)[0]!}`;

describe('a member that occurs twice', () => {
  test('is refused by its pointer, whichever of its values is valid', async () => {
    expect(await refusalsOf('{"email":"twice@example.com","status":"active","status":"paused"}')).toEqual([
      '400 /status occurs more than once in its object',
    ]);
    expect(await refusalsOf('{"email":"twice@example.com","status":"active","metadata":{"a":[{"b":1,"\\u0062":2}]}}')).toEqual([
      '400 /metadata/a/0/b occurs more than once in its object',
    ]);
  });

  test('is refused without its name, if it could be an email', async () => {
    const body = '{"email":"twice@example.com","status":"active","metadata":{"ada@example.com":1,"ada@example.com":2}}';
    const answers = await refusalsOf(body);
    expect(answers).toEqual(['400 /metadata occurs more than once in its object']);
  });
});

test.each([
  ['__proto__', '{"__proto__":{"status":"active"},"email":"new@example.com"}', '/__proto__'],
  ['__proto__ with escapes', '{"status":"active","metadata":{"\\u005f_proto__":1}}', '/metadata/__proto__'],
  ['constructor', '{"metadata":{"constructor":{"prototype":{"a":1}}},"status":"active"}', '/metadata/constructor'],
  ['constructor as data', '{"metadata":{"a":[{"constructor":"Ada & Sons"}]},"status":"active"}', '/metadata/a/0/constructor'],
])('the name of a prototype is refused by its pointer: %s', async (_, body, pointer) => {
  expect(await refusalsOf(body)).toEqual([`400 ${pointer} is not accepted as the name of a member`]);
});

test('members with the names of other properties of every object are stored', async () => {
  const metadata = {
    prototype: { a: 1 },
    proto: [{ prototype: {} }],
    hasOwnProperty: 1,
    toString: 'a',
    valueOf: null,
    then: 1,
    toJSON: 'b',
    length: 9,
  };
  const { body } = await request(world.url).put(PATH).send({ status: 'active', metadata }).expect(200);
  expect((body as { metadata: unknown }).metadata).toEqual(metadata);
  const patch = { toString: null, valueOf: { valueOf: 1 }, isPrototypeOf: 2 };
  const { toString: _, ...kept } = metadata;
  const patched = await request(world.url).patch(PATH).send({ metadata: patch }).expect(200);
  expect((patched.body as { metadata: unknown }).metadata).toEqual({ ...kept, valueOf: { valueOf: 1 }, isPrototypeOf: 2 });
});

describe('a compressed body', () => {
  const BODY = '{"email":"zip@example.com","status":"active"}';

  test.each(['gzip', 'GZIP', 'x-gzip', 'deflate', 'br', 'identity, gzip', 'secret@example.com'])(
    'is 415 and says what is accepted: %s',
    async (coding) => {
      expect(await refusalsOf(gzipSync(BODY), { 'content-encoding': coding })).toEqual(['415 identity  A JSON body cannot be compressed']);
    },
  );

  test('is 415 as well if it is JSON despite its Content-Encoding', async () => {
    expect(await refusalsOf(BODY, { 'content-encoding': 'gzip' })).toEqual(['415 identity  A JSON body cannot be compressed']);
  });

  test.each(['identity', ' IDENTITY ', ''])('is none with the Content-Encoding "%s"', async (coding) => {
    const sent = request(world.url).put(PATH).set({ 'content-type': 'application/json', 'content-encoding': coding });
    await sent.send('{"status":"active"}').expect(200);
  });

  test('is taken by an import as gzip, and is 415 in any other coding', async () => {
    const line = '{"email":"zip@example.com","status":"active"}\n';
    const send = (coding: string, type = NDJSON): request.Test => sendFile(world.url, gzipSync(line), type).set('content-encoding', coding);
    expect((await send('gzip').expect(201)).body).toMatchObject({ created: 1 });
    const refused = await send('br').expect(415);
    expect(refused.headers['accept-encoding']).toBe('gzip, identity');
    const form = await send('gzip', 'multipart/form-data; boundary=x').expect(415);
    expect([form.headers['accept-encoding'], (form.body as Problem).detail]).toEqual([
      'identity',
      expect.stringContaining('The file in it'),
    ]);
  });
});

describe('a line of an import', () => {
  const LINES: readonly (readonly [name: string, line: string, error: Readonly<Record<string, unknown>>])[] = [
    ['a field that occurs twice', '{"email":"a@l.example","status":"active","status":"paused"}', { field: 'status', pointer: '/status' }],
    [
      'a member of metadata that occurs twice',
      '{"email":"a@l.example","status":"active","metadata":{"x":1,"x":2}}',
      { field: 'metadata', pointer: '/metadata/x' },
    ],
    [
      'an email that occurs twice',
      '{"email":"a@l.example","email":"b@l.example","status":"active"}',
      { field: 'email', pointer: '/email' },
    ],
    ['__proto__', '{"email":"a@l.example","status":"active","__proto__":{"plan":"pro"}}', { field: '__proto__', pointer: '/__proto__' }],
    [
      'constructor',
      '{"email":"a@l.example","status":"active","metadata":{"constructor":{"prototype":1}}}',
      { field: 'metadata', pointer: '/metadata/constructor' },
    ],
  ];

  test.each(LINES)('is refused by its pointer, and its neighbours are not: %s', async (_, line, error) => {
    const others = ['{"email":"before@l.example","status":"active"}', '{"email":"after@l.example","status":"active"}'] as const;
    for (const file of [`${others[0]}\n${line}\n${others[1]}\n`, `[${others[0]},${line},${others[1]}]`]) {
      await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE '%@l.example'`);
      const { body } = await sendFile(world.url, file, file.startsWith('[') ? 'application/json' : NDJSON).expect(201);
      expect(body).toMatchObject({ created: 2, refused: 1, has_more_errors: false });
      expect((body as { errors: unknown[] }).errors).toEqual([{ line: 2, detail: expect.any(String), ...error }]);
    }
  });

  test('of CSV is refused for a member that occurs twice in its metadata', async () => {
    const file = 'email,status,metadata\ncsv@l.example,active,"{""x"":1,""x"":2}"\n';
    const { body } = await sendFile(world.url, file, 'text/csv').expect(201);
    expect((body as { errors: unknown[] }).errors).toMatchObject([{ line: 2, field: 'metadata', pointer: '/metadata/x' }]);
  });

  test('is refused if two of its members stand for one field', async () => {
    const query = '?columns=Email%20Address%3Aemail';
    const lines = [
      '{"Email Address":"mapped@l.example","email":"other@l.example","status":"active"}',
      '{"Email Address":"mapped@l.example","E-Mail":"other@l.example","status":"active"}',
      '{"Email Address":"mapped@l.example","status":"active","STATUS":"paused"}',
    ];
    const { body } = await sendFile(world.url, lines.join('\n'), NDJSON, query).expect(201);
    expect(body).toMatchObject({ created: 0, refused: 3 });
    expect((body as { errors: { field: string }[] }).errors.map(({ field }) => field)).toEqual(['email', undefined, 'status']);
  });
});

test('an import says whether it has more errors than it lists', async () => {
  const listed = async (lines: number): Promise<unknown> => {
    const { body } = await sendFile(world.url, '{"email":"x@l.example"}\n'.repeat(lines)).expect(201);
    const { id, errors, has_more_errors, refused } = body as { id: string; errors: unknown[]; has_more_errors: boolean; refused: number };
    expect((await request(world.url).get(`/imports/${id}`).expect(200)).body).toEqual(body);
    return [errors.length, has_more_errors, refused];
  };
  expect(await listed(1_000)).toEqual([1_000, false, 1_000]);
  expect(await listed(1_001)).toEqual([1_000, true, 1_001]);
});
