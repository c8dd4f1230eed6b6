import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { COLUMNS, REACTIVATE, undefuse } from './csv-cells.js';
import { toRow } from './import-line.js';
import { LINE_BYTES, UnreadableFileError, type ParsedLine } from './parsed-line.js';

const TAKEN: readonly string[] = [...COLUMNS, REACTIVATE];
const BOOLEAN_COLUMNS: readonly string[] = ['cancel_at_period_end', REACTIVATE];
const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, false: false };
/** Rows handed on at once. */
const TOGETHER = 256;

/** A record, and the line on which it ends. */
interface CsvRecord {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number; readonly error?: CsvError };
}

/**
 * CSV (RFC 4180) with a header. An empty cell means: not given, so a plan can't be empty. `metadata` is JSON. Records with more or fewer
 * cells than the header are errors of their own; a quote that never closes ends the file.
 * @throws UnreadableFileError
 */
export async function* csvLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<ParsedLine[], void, void> {
  const parser = parse({
    columns: header,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: LINE_BYTES,
  });
  const source = Readable.from(decoded(chunks));
  // An error of the one ends the other: pipe alone leaves both open.
  source.once('error', (error) => parser.destroy(error));
  source.pipe(parser);
  let parsed: ParsedLine[] = [];
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRecord>) {
      parsed.push(
        info.error ? [{ line: info.lines, detail: 'has more or fewer cells than the header' }] : toRowOfCells(info.lines, record),
      );
      if (parsed.length < TOGETHER) continue;
      yield parsed;
      parsed = [];
    }
  } catch (error) {
    yield parsed;
    throw error instanceof CsvError ? unreadable(error) : error;
  } finally {
    source.destroy();
    parser.destroy();
  }
  yield parsed;
}

/** Text, without a byte order mark. A file in another encoding would come in as something else. */
async function* decoded(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    for await (const chunk of chunks) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (error) {
    const { code } = error as { code?: string };
    throw code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? new UnreadableFileError('The file is not UTF-8') : error;
  }
}

/** Names what is missing or unknown, once, before any row. */
function header(names: readonly string[]): string[] {
  const given = names.map((name) => name.trim().toLowerCase());
  const missing = ['email', 'status'].filter((name) => !given.includes(name));
  if (missing.length > 0) throw new UnreadableFileError(`Line 1 must name the columns; ${missing.join(' and ')} is missing`);
  const known = given.every((name) => TAKEN.includes(name));
  if (!known) throw new UnreadableFileError(`Line 1 names a column that is none of ${TAKEN.join(', ')}`);
  if (new Set(given).size < given.length) throw new UnreadableFileError('Line 1 names a column twice');
  return given;
}

function toRowOfCells(line: number, record: Readonly<Record<string, string>>): ParsedLine {
  const value: Record<string, unknown> = {};
  for (const [name, cell] of Object.entries(record)) {
    if (cell === '') continue;
    const text = undefuse(cell);
    value[name] = BOOLEAN_COLUMNS.includes(name) ? (BOOLEANS[text.toLowerCase()] ?? text) : name === 'metadata' ? asJson(text) : text;
  }
  return toRow(line, value);
}

/** Text that is no JSON stays text, which is no metadata. */
function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const WHAT: Readonly<Partial<Record<CsvError['code'], string>>> = {
  CSV_QUOTE_NOT_CLOSED: 'a quote is not closed',
  CSV_INVALID_CLOSING_QUOTE: 'something follows a closing quote',
  INVALID_OPENING_QUOTE: 'a quote is inside a cell without quotes',
  CSV_MAX_RECORD_SIZE: `a record is longer than ${LINE_BYTES} characters`,
};

/** The parser's own messages quote the file. */
function unreadable(error: CsvError): UnreadableFileError {
  const { lines } = error as unknown as { lines?: number };
  return new UnreadableFileError(`Near line ${lines ?? 'unknown'} ${WHAT[error.code] ?? 'the CSV is malformed'}`);
}
