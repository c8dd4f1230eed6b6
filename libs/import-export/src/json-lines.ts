import { isUtf8 } from 'node:buffer';
import { UnsupportedMediaTypeException } from '@nestjs/common';
import { firstCharacter, withHead } from './file-content.js';
import { MAX_LINE_BYTES, type ParsedLine, type LineReader, UnreadableFileError } from './import-lines.js';

const LINE_FEED = 0x0a;

/** Parses NDJSON: one JSON object (RFC 8259) a line. Holds one line and one chunk at most; a line that is too long is skipped without holding it. */
export async function* ndjsonLines(chunks: AsyncIterable<Buffer>, reader: LineReader): AsyncGenerator<ParsedLine[], void, void> {
  const pending = new PendingText();
  let line = 0;
  for await (const chunk of chunks) {
    const parsed: ParsedLine[] = [];
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      line += 1;
      parsed.push(...parseText(reader, line, pending.end(chunk.subarray(from, end))));
      from = end + 1;
    }
    pending.add(chunk.subarray(from));
    yield parsed;
  }
  yield parseText(reader, line + 1, pending.end(Buffer.alloc(0)));
}

/** The bytes of a line or an item whose end has not been read yet. */
class PendingText {
  private pieces: Buffer[] = [];
  private length = 0;

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.length += piece.length;
    if (this.length > MAX_LINE_BYTES) this.pieces = [];
    else this.pieces.push(piece);
  }

  /** Returns the text with its last piece, or undefined if it is too long. */
  end(last: Buffer): Buffer | undefined {
    const { pieces, length } = this;
    this.pieces = [];
    this.length = 0;
    if (length + last.length > MAX_LINE_BYTES) return undefined;
    return length === 0 ? last : Buffer.concat([...pieces, last]);
  }
}

/** Parses one line. Empty lines are counted, but yield nothing. */
function parseText(reader: LineReader, line: number, text: Buffer | undefined): ParsedLine[] {
  if (text === undefined) return [[{ line, detail: `is longer than ${MAX_LINE_BYTES} bytes` }]];
  if (!isUtf8(text)) return [[{ line, detail: 'is not UTF-8' }]];
  const json = text.toString().trim();
  if (json === '') return [];
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return [[{ line, detail: 'is not JSON' }]];
  }
  const flaws = reader.flawsOf(line, json, value);
  return [flaws.length > 0 ? flaws : reader.readObject(line, value)];
}

const [QUOTE, COMMA, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [...Buffer.from('",\\[]{}')] as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

/**
 * Parses a JSON array. Its items are found by their brackets and strings, and are parsed one by one: no more than an item is held, and an
 * item that is not JSON does not affect the others. Items have their position as number, because an array is often in a single line.
 */
export async function* jsonItems(chunks: AsyncIterable<Buffer>, reader: LineReader): AsyncGenerator<ParsedLine[], void, void> {
  const { head, chunks: all } = await withHead(chunks, (bytes) => firstCharacter(bytes) !== undefined);
  if (firstCharacter(head) !== '[') {
    throw new UnsupportedMediaTypeException(
      'A file of the type application/json must be an array of objects. Send one object a line as application/x-ndjson',
    );
  }
  const array = new ArrayScanner(reader);
  try {
    for await (const chunk of all) {
      array.read(chunk);
      yield array.take();
    }
    array.end();
  } catch (error) {
    // The items before the error.
    yield array.take();
    throw error;
  }
}

class ArrayScanner {
  private parsed: ParsedLine[] = [];
  private readonly pending = new PendingText();
  private item = 1;
  private line = 1;
  /** Number of open brackets: 1 inside the array, 0 before and behind it. */
  private depth = 0;
  private closed = false;
  private string: { readonly line: number; escaped: boolean } | undefined;
  /** Whether the current item has any text. */
  private hasText = false;

  constructor(private readonly reader: LineReader) {}

  /** @throws UnreadableFileError */
  read(chunk: Buffer): void {
    let from = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at]!;
      if (byte === LINE_FEED) this.line += 1;
      if (this.string) {
        this.readString(byte);
        continue;
      }
      if (byte <= 0x20) continue;
      if (this.closed) throw this.error('text follows the end of the array. Send one array');
      if (this.depth === 0) {
        this.depth = 1;
        from = at + 1;
        continue;
      }
      const endsItem = this.depth === 1 && (byte === COMMA || byte === CLOSE_ARRAY);
      if (endsItem) {
        this.endItem(chunk.subarray(from, at), byte === CLOSE_ARRAY);
        from = at + 1;
        continue;
      }
      this.hasText = true;
      this.readStructure(byte);
    }
    if (!this.closed) this.pending.add(chunk.subarray(from));
  }

  /** Returns the items that were read since the last call. */
  take(): ParsedLine[] {
    const { parsed } = this;
    this.parsed = [];
    return parsed;
  }

  /** @throws UnreadableFileError if the array is not closed. */
  end(): void {
    if (this.closed) return;
    const why = this.string
      ? `the string that begins on line ${this.string.line} is never closed. Close it with a quote`
      : this.depth > 1
        ? 'the file ends inside it. Close its brackets'
        : 'the file ends without the bracket that closes the array. Send the whole file';
    throw this.error(why);
  }

  private readString(byte: number): void {
    if (this.string!.escaped) this.string!.escaped = false;
    else if (byte === BACKSLASH) this.string!.escaped = true;
    else if (byte === QUOTE) this.string = undefined;
  }

  private readStructure(byte: number): void {
    if (byte === QUOTE) this.string = { line: this.line, escaped: false };
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) this.depth += 1;
    else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) this.depth -= 1;
    if (this.depth === 0) throw this.error('a brace is closed that was not opened. Remove it');
  }

  private endItem(last: Buffer, closes: boolean): void {
    const text = this.pending.end(last);
    if (this.hasText) this.parsed.push(...parseText(this.reader, this.item, text));
    else if (!closes || this.item > 1) this.parsed.push([{ line: this.item, detail: 'is empty: remove the comma' }]);
    this.item += 1;
    this.hasText = false;
    this.closed = closes;
  }

  private error(why: string): UnreadableFileError {
    return new UnreadableFileError(`Item ${this.item} of the array, line ${this.line}: ${why}`);
  }
}
