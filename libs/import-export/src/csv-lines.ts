import { isUtf8 } from 'node:buffer';
import { finished } from 'node:stream/promises';
import { CsvError, parse, type Parser } from 'csv-parse';
import { BUSINESS_COLUMN_LIST, type BusinessColumn } from '#events';
import { REACTIVATE, unescapeFormula } from './csv.js';
import { countLineFeeds, withHead } from './file-content.js';
import { comparable } from './import-options.js';
import { isQuotable, type LineError, type LineReader, MAX_LINE_BYTES, type ParsedLine, UnreadableFileError } from './import-lines.js';

const KINDS: ReadonlyMap<string, BusinessColumn['kind']> = new Map([
  ...BUSINESS_COLUMN_LIST.map(([name, { kind }]) => [name, kind] as const),
  [REACTIVATE, 'boolean'],
]);
const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, false: false };

/** Delimiters and their names in messages. The first is taken when the header has none of them. */
const DELIMITERS = { ',': 'a comma', ';': 'a semicolon', '\t': 'a tab' } as const;
type Delimiter = keyof typeof DELIMITERS;

/**
 * Parses CSV (RFC 4180) with a header. The delimiter is the one that the header has most often. An empty cell means that the field is not
 * given, so a plan cannot be empty. `metadata` is JSON. A record with more or fewer cells than the header is an error of its line; a quote
 * that is never closed makes the file unreadable.
 * @throws UnreadableFileError
 */
export async function* csvLines(chunks: AsyncIterable<Buffer>, reader: LineReader): AsyncGenerator<ParsedLine[], void, void> {
  const { head, chunks: all } = await withHead(chunks, (bytes) => firstLine(bytes).isComplete);
  const { text, endsWithCarriageReturn } = firstLine(head);
  const delimiter = delimiterOf(text);
  const records = new CsvRecords(reader, delimiter);
  const parser = parse({
    delimiter,
    record_delimiter: endsWithCarriageReturn ? '\r' : ['\r\n', '\n'],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_LINE_BYTES,
    // Records are taken here, because an error of the parser drops those that it has not emitted yet.
    on_record: (cells: string[], { lines, empty_lines: emptyLines }) => {
      records.add(cells, lines, emptyLines);
      return null;
    },
  });
  // The error also reaches the callback of the write.
  parser.on('error', () => undefined);
  try {
    for await (const chunk of onlyUtf8(all)) {
      await write(parser, chunk);
      yield records.take();
    }
    parser.end();
    await finished(parser, { readable: false });
  } catch (error) {
    yield records.take();
    throw error instanceof CsvError ? records.describe(error) : error;
  } finally {
    parser.destroy();
  }
  yield records.take();
}

function write(parser: Parser, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    parser.write(chunk, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Returns the first line that is not empty, up to a line break outside quotes. */
function firstLine(head: Buffer): { text: string; isComplete: boolean; endsWithCarriageReturn: boolean } {
  const text = head.toString('latin1').replace(/^[\r\n]+/, '');
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!;
    if (character === '"') isQuoted = !isQuoted;
    if (isQuoted || (character !== '\n' && character !== '\r')) continue;
    const isComplete = character === '\n' || at + 1 < text.length;
    return { text: text.slice(0, at), isComplete, endsWithCarriageReturn: character === '\r' && text[at + 1] !== '\n' };
  }
  return { text, isComplete: false, endsWithCarriageReturn: false };
}

function delimiterOf(header: string): Delimiter {
  const unquoted = header.replace(/"[^"]*"/g, '');
  const counts = (Object.keys(DELIMITERS) as Delimiter[]).map((delimiter) => ({ delimiter, count: unquoted.split(delimiter).length }));
  return counts.reduce((best, each) => (each.count > best.count ? each : best)).delimiter;
}

/** Passes a file on while it is UTF-8. A file in another encoding is refused: its text would be imported wrongly. @throws UnreadableFileError */
async function* onlyUtf8(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  /** The bytes of a character that the next chunk completes. */
  let partial = Buffer.alloc(0);
  for await (const chunk of chunks) {
    try {
      decoder.decode(chunk, { stream: true });
    } catch {
      throw notUtf8(line + goodLines(Buffer.concat([partial, chunk])));
    }
    line += countLineFeeds(chunk);
    partial = endOfLastCharacter(chunk);
    yield chunk;
  }
  try {
    decoder.decode();
  } catch {
    throw notUtf8(line);
  }
}

function endOfLastCharacter(chunk: Buffer): Buffer<ArrayBuffer> {
  const end = chunk.subarray(-3);
  const start = end.findIndex((byte) => byte >= 0xc0);
  return start < 0 || isUtf8(end.subarray(start)) ? Buffer.alloc(0) : Buffer.from(end.subarray(start));
}

/** Number of lines before the first one that is not UTF-8. */
function goodLines(bytes: Buffer): number {
  let count = 0;
  for (let from = 0, end = bytes.indexOf('\n'); end >= 0; end = bytes.indexOf('\n', from)) {
    if (!isUtf8(bytes.subarray(from, end))) break;
    count += 1;
    from = end + 1;
  }
  return count;
}

function notUtf8(line: number): UnreadableFileError {
  return new UnreadableFileError(`The file is not UTF-8: see line ${line}. Save it as UTF-8, or as UTF-16 with a byte order mark`);
}

const LINE_BREAKS = /[\r\n]/g;

/** Reads the records of a file. The first one is the header. */
class CsvRecords {
  private parsed: ParsedLine[] = [];
  private names: readonly string[] | undefined;
  private fields: readonly (string | undefined)[] = [];
  /** The parser's line and number of empty lines at the end of the last record. */
  private last = { lines: 0, emptyLines: 0 };
  /** Number of lines by which the parser is ahead: it counts CRLF inside quotes twice. */
  private overcount = 0;

  constructor(
    private readonly reader: LineReader,
    private readonly delimiter: Delimiter,
  ) {}

  /** Reads a record that ends on the parser's line `lines`. @throws UnreadableFileError */
  add(cells: readonly string[], lines: number, emptyLines: number): void {
    let line = lines - this.overcount;
    for (const cell of cells) {
      if (!cell.includes('\n') && !cell.includes('\r')) continue;
      line -= cell.match(LINE_BREAKS)!.length;
      this.overcount += cell.split('\r\n').length - 1;
    }
    this.last = { lines, emptyLines };
    if (this.names) this.parsed.push(this.read(line, cells));
    else this.readHeader(line, cells);
  }

  /** Returns the lines that were read since the last call. */
  take(): ParsedLine[] {
    const { parsed } = this;
    this.parsed = [];
    return parsed;
  }

  /** Replaces the parser's own message, which quotes the file. */
  describe(error: CsvError): UnreadableFileError {
    const { lines, empty_lines: emptyLines, column } = error as unknown as { lines: number; empty_lines: number; column: number };
    const begins = this.last.lines + 1 + emptyLines - this.last.emptyLines;
    const isLineTooLong = error.code === 'CSV_MAX_RECORD_SIZE' && lines === begins;
    const what = isLineTooLong ? `the line is longer than ${MAX_LINE_BYTES} bytes` : (CSV_ERRORS[error.code] ?? 'the CSV is malformed');
    return new UnreadableFileError(`Line ${begins - this.overcount}, column ${this.nameOf(column)}: ${what}`);
  }

  private read(line: number, cells: readonly string[]): ParsedLine {
    const names = this.names!;
    if (cells.length !== names.length) {
      const hint = `put a cell that contains the delimiter, ${DELIMITERS[this.delimiter]}, in quotes`;
      return [{ line, detail: `has more or fewer cells than the header: ${cells.length} instead of ${names.length}; ${hint}` }];
    }
    const values: Record<string, unknown> = {};
    const flaws: LineError[] = [];
    for (const [i, field] of this.fields.entries()) {
      if (field === undefined || cells[i] === '') continue;
      const text = unescapeFormula(cells[i]!);
      const value = (values[field] = cellValue(KINDS.get(field), text));
      if (typeof value === 'object') flaws.push(...this.reader.flawsOf(line, text, value, { field, column: names[i]! }));
    }
    if (flaws.length > 0) return flaws;
    return this.reader.readFields(line, values, (field) => names[this.fields.indexOf(field)]);
  }

  /** Checks the header before any row is read. */
  private readHeader(line: number, cells: readonly string[]): void {
    const { rules, options, preview } = this.reader;
    const names = cells.map((name) => name.trim());
    const fields = this.reader.fieldsOf(names);
    const refuse = (detail: string): never => {
      throw new UnreadableFileError(`Line ${line} ${detail}`);
    };
    const given = new Set(names.map(comparable));
    const absent = options.expected.filter((name) => !given.has(comparable(name)));
    if (absent.length > 0) refuse(`lacks columns that the option columns names: ${quoted(absent)}`);
    const missing = ['email', 'status'].filter(
      (name) => !fields.includes(name) && (name !== 'status' || options.defaultStatus === undefined),
    );
    if (missing.length > 0) {
      const hint = 'The option columns maps other names, as in columns=Email Address:email, and default_status stands for a missing status';
      refuse(`must name the columns; missing: ${missing.join(', ')}. ${hint}`);
    }
    const unset = rules.lacking.filter((name) => fields.includes(name));
    if (unset.length > 0) refuse(`names columns that the table of Database 1 lacks: ${unset.join(', ')}`);
    const unknown = names.filter((_, i) => fields[i] === undefined);
    if (unknown.length > 0 && !options.ignoresUnknownColumns) {
      const known = [...rules.known].filter((name) => !rules.lacking.includes(name)).join(', ');
      refuse(
        `names an unknown column; known are ${known}. Unknown are ${quoted(unknown)}: map them with columns, or give unknown_columns=ignore`,
      );
    }
    const twice = fields.find((field, i) => field !== undefined && fields.indexOf(field) !== i);
    if (twice !== undefined) {
      refuse(`names a column twice: ${quoted(names.filter((_, i) => fields[i] === twice))} stand for ${twice}. Remove one of them`);
    }
    this.names = names;
    this.fields = fields;
    if (preview) {
      preview.delimiter = this.delimiter;
      preview.columns = names.map((name, i) => ({ name, field: fields[i] ?? null }));
    }
  }

  private nameOf(column: number): string {
    const name = this.names?.[column];
    return name !== undefined && isQuotable(name) ? name : String(column + 1);
  }
}

/** Maximum number of names of columns in a message. */
const MAX_NAMES = 10;

function quoted(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).map((name) => (isQuotable(name) ? `"${name}"` : '(a name that is not shown)'));
  return shown.join(', ') + (names.length > MAX_NAMES ? ' and others' : '');
}

function cellValue(kind: BusinessColumn['kind'] | undefined, text: string): unknown {
  if (kind === 'boolean') return BOOLEANS[text.toLowerCase()] ?? text;
  return kind === 'object' ? asJson(text) : text;
}

/** Invalid JSON is returned as a string, which later fails the check of an object. */
function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const DOUBLE_QUOTES = 'write a quote inside a cell twice ("")';

const CSV_ERRORS: Readonly<Partial<Record<CsvError['code'], string>>> = {
  CSV_QUOTE_NOT_CLOSED: `the quote that opens this cell is never closed. Close it, and ${DOUBLE_QUOTES}`,
  CSV_INVALID_CLOSING_QUOTE: `text follows the closing quote of this cell. Remove it, or ${DOUBLE_QUOTES}`,
  INVALID_OPENING_QUOTE: `a cell without quotes contains a quote. Put the cell in quotes, and ${DOUBLE_QUOTES}`,
  CSV_MAX_RECORD_SIZE: `the quote that opens this cell is not closed within ${MAX_LINE_BYTES} bytes. Close it, and ${DOUBLE_QUOTES}`,
};
