import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from '@jest/globals';
import { Parser, type AsyncAPIDocumentInterface } from '@asyncapi/parser';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { readSettings } from '#config';

const ajv = new Ajv({ strict: false });
addFormats.default(ajv);

let text: string;
let document: AsyncAPIDocumentInterface;

beforeAll(async () => {
  text = readFileSync('docs/asyncapi.json', 'utf8');
  document = (await new Parser().parse(text)).document!;
});

/** Returns the parser's findings, except that a newer minor version of AsyncAPI exists, which fewer tools support. */
async function diagnosticsOf(source: string): Promise<string[]> {
  const diagnostics = await new Parser().validate(source);
  return diagnostics
    .filter(({ code }) => code !== 'asyncapi-latest-version')
    .map(({ code, path, message }) => `${code} ${path.join('.')}: ${message}`);
}

test('is a valid AsyncAPI 3 document', async () => {
  expect(document.version()).toBe('3.0.0');
  expect(await diagnosticsOf(text)).toEqual([]);
});

test.each([
  [
    'a reference to a missing message',
    (it: string) => it.replace('"#/components/messages/subscription.deleted"', '"#/components/messages/nowhere"'),
  ],
  ['an operation without an action', (it: string) => it.replace('"action": "send",', '')],
])('%s is reported', async (_, spoil) => {
  expect(spoil(text)).not.toBe(text);
  expect(await diagnosticsOf(spoil(text))).not.toEqual([]);
});

test('names the default topic of the settings, the key, and all types of events', () => {
  const [channel] = document.channels().all();
  const parts = Object.fromEntries(
    ['DB1', 'DB2'].flatMap((db) => ['HOST', 'USER', 'PASSWORD', 'DATABASE'].map((name) => [`${db}_${name}`, 'x'])),
  );
  expect(channel!.address()).toBe(readSettings({ ...parts, KAFKA_SERVER: 'x:1' }).kafka!.topic);
  expect(
    channel!
      .messages()
      .all()
      .map((message) => message.name()),
  ).toEqual(['created', 'updated', 'deleted', 'resynced'].map((operation) => `subscription.${operation}`));
  for (const message of channel!.messages()) {
    expect(message.bindings().get('kafka')!.value()).toMatchObject({ key: { type: 'string' } });
    const [example] = message.examples().all();
    const [payload, headers] = [ajv.compile(message.payload()!.json()), ajv.compile(message.headers()!.json())];
    expect({ valid: payload(example!.payload()), errors: payload.errors }).toMatchObject({ valid: true });
    expect({ valid: headers(example!.headers()), errors: headers.errors }).toMatchObject({ valid: true });
    expect(payload({ ...example!.payload(), id: 7 })).toBe(false);
  }
});
