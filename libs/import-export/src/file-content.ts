import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { UnreadableFileError } from './import-lines.js';

export type FileFormat = 'ndjson' | 'json' | 'csv';

/** A file that is being received. */
export interface SentFile {
  readonly stream: Readable;
  /** The format; undefined if the content decides. */
  readonly format: FileFormat | undefined;
  /** Whether the sender says that the file is compressed. A file that begins like one is decompressed anyway. */
  readonly gzip: boolean;
}

/** The content of a file: text in UTF-8, except that bytes which are not UTF-8 are left for the reader of the format to report. */
export interface FileContent {
  readonly format: FileFormat;
  readonly chunks: AsyncIterable<Buffer>;
}

/** Maximum number of bytes that are held in order to recognise a format or delimiter. */
const MAX_HEAD_BYTES = 64 * 1024;

const GZIP = Buffer.from([0x1f, 0x8b]);
const BYTE_ORDER_MARKS = [
  { encoding: 'utf-8', mark: Buffer.from([0xef, 0xbb, 0xbf]) },
  { encoding: 'utf-16le', mark: Buffer.from([0xff, 0xfe]) },
  { encoding: 'utf-16be', mark: Buffer.from([0xfe, 0xff]) },
] as const;

/** Decompresses and decodes a file, and recognises its format if it is not known: JSON begins with a bracket or a brace. */
export async function contentOf({ format, gzip }: SentFile, chunks: AsyncIterable<Buffer>): Promise<FileContent> {
  const sent = await withHead(chunks, ({ length }) => length >= GZIP.length);
  const isGzip = gzip || sent.head.subarray(0, GZIP.length).equals(GZIP);
  const text = await decoded(isGzip ? gunzipped(sent.chunks) : sent.chunks);
  if (format !== undefined) return { format, chunks: text };
  const { head, chunks: all } = await withHead(text, (bytes) => firstCharacter(bytes) !== undefined);
  const first = firstCharacter(head);
  return { format: first === '[' ? 'json' : first === '{' || first === undefined ? 'ndjson' : 'csv', chunks: all };
}

/** Returns the first character that is not white space. */
export function firstCharacter(bytes: Buffer): string | undefined {
  return /\S/.exec(bytes.toString('latin1'))?.[0];
}

/**
 * Reads the beginning of a file until it is long enough, {@link MAX_HEAD_BYTES} are read or the file ends. Returns it, and all chunks from the
 * first one on.
 */
export async function withHead(
  chunks: AsyncIterable<Buffer>,
  isEnough: (head: Buffer) => boolean,
): Promise<{ readonly head: Buffer; readonly chunks: AsyncIterable<Buffer> }> {
  const iterator = chunks[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (!isEnough(head) && head.length < MAX_HEAD_BYTES) {
    const next = await iterator.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  const rest = { [Symbol.asyncIterator]: () => iterator };
  return { head, chunks: withFirst(head, rest) };
}

async function* withFirst(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  if (head.length > 0) yield head;
  yield* rest;
}

/** Decompresses as fast as the lines are written, 16 KB at a time: the size of the decompressed file does not matter. */
async function* gunzipped(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  try {
    yield* pipeline(chunks, createGunzip(), () => undefined) as AsyncIterable<Buffer>;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'Z_BUF_ERROR') throw new UnreadableFileError('The gzip file ends too early. Send the whole file');
    throw code?.startsWith('Z_')
      ? new UnreadableFileError('The file is damaged, or not gzip. Compress it again, or send it as it is')
      : error;
  }
}

/** Removes a byte order mark, and converts UTF-16 to UTF-8. */
async function decoded(chunks: AsyncIterable<Buffer>): Promise<AsyncIterable<Buffer>> {
  const { head, chunks: all } = await withHead(chunks, ({ length }) => length >= 3);
  const found = BYTE_ORDER_MARKS.find(({ mark }) => head.subarray(0, mark.length).equals(mark));
  if (found) return found.encoding === 'utf-8' ? withoutBytes(all, found.mark.length) : fromUtf16(all, found.encoding);
  if (head.subarray(0, 2).includes(0)) {
    throw new UnreadableFileError('The file is UTF-16 without a byte order mark. Save it as UTF-8, or as UTF-16 with a byte order mark');
  }
  return all;
}

async function* withoutBytes(chunks: AsyncIterable<Buffer>, count: number): AsyncGenerator<Buffer, void, void> {
  let left = count;
  for await (const chunk of chunks) {
    if (chunk.length > left) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

/** The decoder removes the byte order mark. */
async function* fromUtf16(chunks: AsyncIterable<Buffer>, encoding: 'utf-16le' | 'utf-16be'): AsyncGenerator<Buffer, void, void> {
  const decoder = new TextDecoder(encoding, { fatal: true });
  let lines = 1;
  const next = (chunk?: Buffer): Buffer => {
    try {
      return Buffer.from(chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode());
    } catch {
      throw new UnreadableFileError(`The file is not UTF-16 as its byte order mark says, after line ${lines}. Save it as UTF-8`);
    }
  };
  for await (const chunk of chunks) {
    const text = next(chunk);
    lines += countLineFeeds(text);
    yield text;
  }
  yield next();
}

const LINE_FEED = 0x0a;

export function countLineFeeds(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) count += 1;
  return count;
}
