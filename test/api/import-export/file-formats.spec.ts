import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';
import { importedRows, NDJSON, ndjson, row, sendFile } from './send-file.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const CSV = 'text/csv';
const send = (file: string | Buffer, query = '', type = CSV): request.Test => sendFile(world.url, file, type, query);

const rows = (prefix: string): Promise<unknown[]> => importedRows(world, prefix);

describe('encodings', () => {
  const TEXT = 'email;status;plan\r\nqg1@example.com;active;"größer\r\n"";"\r\n';
  const EXPECTED = [row('qg1', 'active', { plan: 'größer\r\n";' })];
  const bigEndian = (text: string): Buffer => Buffer.from(`\ufeff${text}`, 'utf16le').swap16();

  test.each([
    ['semicolons', Buffer.from(TEXT)],
    ['tabs', Buffer.from(TEXT.replaceAll(';', '\t').replace('"\t', '";'))],
    ['a byte order mark of UTF-8', Buffer.from(`\ufeff${TEXT}`)],
    ['UTF-16, little endian', Buffer.from(`\ufeff${TEXT}`, 'utf16le')],
    ['UTF-16, big endian', bigEndian(TEXT)],
    ['gzip, which its bytes say', gzipSync(TEXT)],
    ['UTF-16 in gzip', gzipSync(bigEndian(TEXT))],
    ['carriage returns alone', Buffer.from(TEXT.replace(/\r\n(?!"")/g, '\r'))],
    ['a line feed after a header with CRLF', Buffer.from(`${TEXT.slice(0, -2)}\n`)],
  ])('CSV with %s', async (_, file) => {
    const { body } = await send(file).expect(201);
    expect(body).toMatchObject({ lines: 1, errors: [], refused: 0 });
    expect(await rows('qg1')).toEqual(EXPECTED);
  });

  test('NDJSON with a byte order mark, and compressed with Content-Encoding or as application/gzip', async () => {
    const file = ndjson([{ email: 'qh1@example.com', status: 'active', plan: 'größer' }]);
    const sent = [
      send(`\ufeff${file}`, '', NDJSON),
      send(Buffer.from(`\ufeff${file}`, 'utf16le'), '', NDJSON),
      send(gzipSync(file), '', NDJSON).set('content-encoding', 'gzip'),
      send(gzipSync(file), '', 'application/gzip'),
    ];
    for (const each of sent) expect((await each.expect(201)).body).toMatchObject({ lines: 1, refused: 0 });
    expect(await rows('qh1')).toEqual([row('qh1', 'active', { plan: 'größer' })]);
    await send(file, '', NDJSON).set('content-encoding', 'br').expect(415);
  });

  test.each([
    ['gzip that ends too early', gzipSync(TEXT).subarray(0, 30), /^The gzip file ends too early\. Send the whole file/],
    ['damaged gzip', Buffer.concat([gzipSync(TEXT).subarray(0, 12), Buffer.alloc(20, 7)]), /^The file is damaged, or not gzip/],
    ['UTF-16 without a mark', Buffer.from(TEXT, 'utf16le'), /^The file is UTF-16 without a byte order mark\. Save it as/],
    ['half a character', Buffer.from(`\ufeff${TEXT}`, 'utf16le').subarray(0, -1), /^The file is not UTF-16 .* after line 3\. Save it/],
    [
      'a quote within an open cell',
      'email,status\n\n"qi@example.com",a"b\n',
      /^Line 3, column status: a cell without quotes contains a quote/,
    ],
    ['text behind a quote', 'email,status\n"qi@example.com"x,active\n', /^Line 2, column email: text follows the closing quote/],
    [
      'a quote that is never closed in a long file',
      `email,status,plan\nqi@example.com,active,"a\r\nb"\nqi@example.com,active,"x\n${'qi@example.com,active,y\n'.repeat(4_000)}`,
      /^Line 4, column plan: the quote that opens this cell is not closed within 65536 bytes\. .* Lines done before the error: 1 /,
    ],
    ['a long line', `email,status\nqi@example.com,${'x'.repeat(70_000)}\n`, /^Line 2, column status: the line is longer than 65536 bytes/],
  ])('%s is 422, and names what would be right', async (_, file, detail) => {
    const { body } = await send(file).expect(422);
    expect(body).toMatchObject({ type: '/problems/unreadable-file', detail: expect.stringMatching(detail) });
  });

  test('a line that gzip made small is refused by its size, and holds up nothing', async () => {
    const long = `{"email":"qj1@example.com","status":"active","plan":"${'x'.repeat(64 * 1024 * 1024)}"}\n`;
    const file = gzipSync(long + ndjson([{ email: 'qj2@example.com', status: 'active' }]));
    expect(file.length).toBeLessThan(100_000);
    const { body } = await send(file, '', NDJSON).expect(201);
    expect(body).toMatchObject({ lines: 2, created: 1, errors: [{ line: 1, detail: 'is longer than 65536 bytes' }] });
  });
});

describe('a JSON array', () => {
  const sendArray = (file: string): request.Test => send(file, '', 'application/json');

  test('is imported item by item, and errors name the item', async () => {
    const items = [
      '{"email":"qk1@example.com","status":"active","metadata":{"a":["]","\\\\",{"b":"\\"}"}]}}',
      '7',
      '',
      '{"email":}',
      '[["x"]]',
      '\n{"email":"qk2@example.com",\n"status":"paused"} ',
    ];
    const { body } = await sendArray(` [${items.join(',')}]\n`).expect(201);
    expect(body).toMatchObject({ lines: 6, created: 2, refused: 4 });
    expect(body.errors).toEqual([
      { line: 2, detail: 'must be a JSON object' },
      { line: 3, detail: 'is empty: remove the comma' },
      { line: 4, detail: 'is not JSON' },
      { line: 5, detail: 'must be a JSON object' },
    ]);
    expect(await rows('qk')).toEqual([row('qk1', 'active', { metadata: { a: [']', '\\', { b: '"}' }] } }), row('qk2', 'paused')]);
    expect((await sendArray('[ ]').expect(201)).body).toMatchObject({ lines: 0 });
  });

  test('may be longer than a JSON body', async () => {
    const items = Array.from({ length: 3_000 }, (_, i) => ({ email: `ql${i}@example.com`, status: 'active', plan: 'x'.repeat(50) }));
    expect((await sendArray(JSON.stringify(items)).expect(201)).body).toMatchObject({ created: 3_000, refused: 0 });
  });

  test.each([
    ['[{"email":"qm@example.com","status":"active"}', /^Item 1 of the array, line 1: the file ends without the bracket/],
    ['[{"email":"qm@example.com",\n"status":"active', /^Item 1 of the array, line 2: the string that begins on line 2 is never closed/],
    ['[1,{"email":', /^Item 2 of the array, line 1: the file ends inside it/],
    ['[1}', /^Item 1 of the array, line 1: a brace is closed that was not opened/],
    ['[1]\n[2]', /^Item 2 of the array, line 2: text follows the end of the array/],
  ])('%s is 422', async (file, detail) => {
    const { body } = await sendArray(file).expect(422);
    expect(body).toMatchObject({ type: '/problems/unreadable-file', detail: expect.stringMatching(detail) });
  });

  test('one object is 415, and other routes still read JSON', async () => {
    const { body } = await sendArray('{"email":"qn1@example.com","status":"active"}').expect(415);
    expect(body.detail).toContain('must be an array of objects');
    await request(world.url).put('/subscriptions/qn1@example.com').send({ status: 'active' }).expect(201);
  });
});

describe('a form', () => {
  const file = 'email,status\nqo1@example.com,active\n';
  const form = (): request.Test => request(world.url).post('/subscriptions/import');
  const attached = (content: string | Buffer, name = 'file.csv'): request.Test => form().attach('upload', Buffer.from(content), name);

  test('has one file, whose content says its format', async () => {
    const ndjsonFile = ndjson([{ email: 'qo1@example.com', status: 'active' }]);
    const array = '[{"email":"qo1@example.com","status":"active"}]';
    for (const content of [file, gzipSync(file), ndjsonFile, array]) {
      expect((await attached(content, 'data').expect(201)).body).toMatchObject({ lines: 1, refused: 0 });
    }
    expect(await rows('qo1')).toEqual([row('qo1', 'active')]);
  });

  test('is read as a stream', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => ({ email: `qp${i % 100}@example.com`, status: 'active', plan: 'x'.repeat(50) }));
    expect((await attached(ndjson(lines)).expect(201)).body).toMatchObject({ lines: 20_000, refused: 0 });
  });

  test('with anything else is refused, and says why', async () => {
    const twice = await attached(file).attach('other', Buffer.from(file), 'b.csv').expect(422);
    expect(twice.body.detail).toMatch(/^The form has more than one file\. Send one file/);
    const late = await attached(file).field('dry_run', 'true').expect(422);
    expect(late.body.detail).toMatch(/^The form has a field that is not a file\. Put the options into the query/);
    const early = await form().field('dry_run', 'true').attach('upload', Buffer.from(file), 'a.csv').expect(400);
    expect(early.body.detail).toMatch(/^The form has a field/);
    const cut = Buffer.from('--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nemail,status\n');
    const short = await form()
      .set('content-type', 'multipart/form-data; boundary=b')
      .send(cut as unknown as string)
      .expect(422);
    expect(short.body.detail).toMatch(/^The form is not well-formed/);
    await form().set('content-type', 'multipart/form-data').send('x').expect(400);
    const none = Buffer.from('--b--\r\n');
    await form()
      .set('content-type', 'multipart/form-data; boundary=b')
      .send(none as unknown as string)
      .expect(400);
    await request(world.url).post('/subscriptions').attach('upload', Buffer.from(file), 'a.csv').expect(415);
    await attached(file).query({ id: randomUUID() }).expect(201);
  });

  test('whose connection ends leaves the job failed, with its lines written', async () => {
    const id = randomUUID();
    const { hostname, port } = new URL(world.url);
    const socket = connect(Number(port), hostname);
    const head = `POST /subscriptions/import?id=${id} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 99999\r\n\r\n`;
    socket.write(
      `${head}--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nemail,status\nqq1@example.com,active\nqq2@exam`,
    );
    await eventually(async () => (await request(world.url).get(`/imports/${id}`)).body.lines === 1);
    socket.destroy();
    await eventually(async () => (await request(world.url).get(`/imports/${id}`)).body.state === 'failed');
    const { body } = await request(world.url).get(`/imports/${id}`);
    expect(body).toMatchObject({ lines: 1, created: 1, error: 'The connection ended before the file did' });
  });

  test('of another web site is refused', async () => {
    const { host } = new URL(world.url);
    const from = (headers: Record<string, string>): request.Test => attached(file).set(headers);
    const { body } = await from({ origin: 'https://evil.example' }).expect(403);
    expect(body.detail).toContain('CORS_ORIGINS');
    await from({ origin: 'null' }).expect(403);
    await from({ 'sec-fetch-site': 'cross-site' }).expect(403);
    await from({ origin: 'https://proxy.example', 'sec-fetch-site': 'same-origin' }).expect(403);
    await from({ origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }).expect(201);
  });
});
