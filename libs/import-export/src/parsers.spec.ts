import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { csvLines } from './csv-lines.js';
import { contentOf } from './file-content.js';
import { LineReader, type ParsedLine, UnreadableFileError } from './import-lines.js';
import { readFileOptions } from './import-options.js';
import { jsonItems, ndjsonLines } from './json-lines.js';

const PARSERS = { csv: csvLines, json: jsonItems, ndjson: ndjsonLines };
const RULES = { fields: [], columns: [], lacking: [], known: new Set(['email', 'status', 'plan']) };

/** Reads a file that arrives in chunks of this size. Returns its lines, and the message of the error with which it ended. */
async function read(file: Buffer, size: number): Promise<{ lines: ParsedLine[]; error: string | undefined }> {
  async function* chunks(): AsyncGenerator<Buffer, void, void> {
    for (let at = 0; at < file.length; at += size) yield file.subarray(at, at + size);
  }
  const reader = new LineReader(RULES, readFileOptions({}, ['email', 'status'], ['active']), undefined);
  const lines: ParsedLine[] = [];
  try {
    const content = await contentOf({ stream: undefined as never, format: undefined, gzip: false }, chunks());
    for await (const parsed of PARSERS[content.format](content.chunks, reader)) lines.push(...parsed);
  } catch (error) {
    if (!(error instanceof UnreadableFileError)) throw error;
    return { lines, error: error.message };
  }
  return { lines, error: undefined };
}

const row = (line: number, email: string): object => expect.objectContaining({ line, email });
const CSV =
  '\r\n\r\nemail;status;plan\r\nä@x.de;active;"a\r\nb\n\r\nc"\r\n\r\n😀@x.de;active\r\n"ö@x.de";"active";"d\r\ne"\n€@x.de;active;f\r\n';
const CSV_LINES = [
  row(4, 'ä@x.de'),
  [{ line: 9, detail: expect.stringContaining('2 instead of 3') }],
  row(10, 'ö@x.de'),
  row(12, '€@x.de'),
];
const JSON_ARRAY = ' [{"email":"ä@x.de","plan":"\\"]},["},\n{"email":"😀@x.de","plan":[[{"a":"]"}]]} , 7 , ] ';
const ITEMS = [
  row(1, 'ä@x.de'),
  row(2, '😀@x.de'),
  [{ line: 3, detail: 'must be a JSON object' }],
  [{ line: 4, detail: 'is empty: remove the comma' }],
];

test.each<[string, string, unknown[], RegExp | undefined]>([
  ['CSV', CSV, CSV_LINES, undefined],
  [
    'CSV whose last quote is not closed',
    `${CSV}z@x.de;"active;g\r\nlast\r\n`,
    CSV_LINES,
    /^Line 13, column status: the quote that opens this/,
  ],
  ['CSV with a quote in an open cell', `${CSV}z@x.de;active;g"\r\nlast\r\n`, CSV_LINES, /^Line 13, column plan: a cell without quotes/],
  ['a JSON array', JSON_ARRAY, ITEMS, undefined],
  ['a JSON array that goes on', `${JSON_ARRAY}\n[]`, ITEMS, /^Item 5 of the array, line 3: text follows/],
  ['NDJSON', '{"email":"ä@x.de"}\r\n\n{"email":"😀@x.de"}', [row(1, 'ä@x.de'), row(3, '😀@x.de')], undefined],
])('%s is read alike, however it arrives and is encoded', async (_, text, lines, error) => {
  const marked = `\ufeff${text}`;
  const utf16 = Buffer.from(marked, 'utf16le');
  for (const file of [Buffer.from(text), Buffer.from(marked), utf16, Buffer.from(utf16).swap16(), gzipSync(text), gzipSync(utf16)]) {
    for (const size of [1, 2, 3, 5, 64, 65_536]) {
      expect({ size, ...(await read(file, size)) }).toEqual({ size, lines, error: error ? expect.stringMatching(error) : undefined });
    }
  }
});

test.each([1, 2, 3, 5, 64, 65_536])('CSV that is not UTF-8 is refused with its line, in chunks of %i bytes', async (size) => {
  const file = Buffer.concat([
    Buffer.from('email;status;plan\nä€😀@x.de;active;😀\nb@x.de;active;'),
    Buffer.from([0xe4, 0x0a, 0x62, 0x0a]),
  ]);
  expect((await read(file, size)).error).toMatch(/^The file is not UTF-8: see line 3\. Save it/);
  const cut = Buffer.from('email;status\nä@x.de;😀').subarray(0, -1);
  expect((await read(cut, size)).error).toMatch(/^The file is not UTF-8: see line 2\. Save it/);
});
