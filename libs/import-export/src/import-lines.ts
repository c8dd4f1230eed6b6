import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';
import { length } from 'class-validator';
import { CsvError, parse } from 'csv-parse';
import { BUSINESS_COLUMN_LIST, type BusinessColumn, type BusinessValues, type IllegalTransition } from '#events';
import { inexactNumbers, isPgText } from '#http';
import { columnOf, isWritable, type SubscriptionTable } from '#postgres';
import { EMAIL_RULE, INSTANT_RULE, isAcceptableEmail, isInstant, isMetadata, METADATA, notWritable, statusRule } from '#subscriptions';
import { REACTIVATE, unescapeFormula } from './csv.js';

/** A line that can be written, in the form that the database accepts, with the columns that the table has. */
export interface ImportRow extends Readonly<Partial<BusinessValues>> {
  /** Line number, from 1. */
  readonly line: number;
  readonly email: string;
  /** As in PUT: allows a canceled or expired subscription to become active again. */
  readonly reactivate: boolean;
}

/** An error of a line. It contains no value of the line: emails must not be stored with a job. */
export interface LineError extends Partial<IllegalTransition> {
  readonly line: number;
  /** The type of the problem, unless the error is about the line alone. */
  readonly type?: '/problems/illegal-transition';
  readonly field?: string;
  /** JSON pointer to the value inside the object of the line, if the error is about a part of a field. */
  readonly pointer?: string;
  readonly detail: string;
}

type FieldRule = readonly [field: string, holds: (value: unknown) => boolean, rule: string];

type NamedColumn = (typeof BUSINESS_COLUMN_LIST)[number];

/** The rules for the lines of an import into a table. */
export interface LineRules {
  readonly fields: readonly FieldRule[];
  /** The business columns that are written. */
  readonly columns: readonly NamedColumn[];
  /** The business columns that the table lacks. */
  readonly lacking: readonly string[];
  /** The fields and the other columns of an export, which an import ignores, so that an exported file can be imported as it is. */
  readonly known: ReadonlySet<string>;
}

/**
 * Returns the rules of PUT for a table, without its decorators, which take 30 times as long. A spec compares both.
 * @param shown the columns of an export.
 */
export function lineRules(table: SubscriptionTable, statuses: readonly string[], shown: readonly string[]): LineRules {
  const columns = BUSINESS_COLUMN_LIST.filter(([name]) => isWritable(table, name));
  const lacking = BUSINESS_COLUMN_LIST.map(([name]): string => name).filter((name) => !columnOf(table, name));
  const fields: FieldRule[] = [
    ['email', isAcceptableEmail, EMAIL_RULE],
    ...columns.map(([name, column]) => fieldRule(name, column, statuses)),
    [REACTIVATE, (value) => value === undefined || typeof value === 'boolean', 'must be true or false'],
    ...lacking.map((name): FieldRule => [name, (value) => value === undefined, notWritable(table.label)]),
  ];
  return { fields, columns, lacking, known: new Set([...fields.map(([field]) => field), ...shown]) };
}

/** Returns the names of the fields that an import writes. */
function writtenFields({ columns }: LineRules): string[] {
  return ['email', ...columns.map(([name]) => name), REACTIVATE];
}

function fieldRule(name: string, column: BusinessColumn, statuses: readonly string[]): FieldRule {
  const [holds, rule] = valueRule(column, statuses);
  const mayBeLeftOut = column.kind !== 'status';
  return [name, (value) => (mayBeLeftOut && value === undefined) || (column.nullable && value === null) || holds(value), rule];
}

function valueRule(column: BusinessColumn, statuses: readonly string[]): readonly [holds: (value: unknown) => boolean, rule: string] {
  switch (column.kind) {
    case 'status':
      return [(value) => (statuses as readonly unknown[]).includes(value), statusRule(statuses)];
    case 'text':
      return [
        (value) => typeof value === 'string' && length(value, 1, column.maxLength) && isPgText(value),
        `must be 1 to ${column.maxLength} characters${column.nullable ? ', or null' : ''}`,
      ];
    case 'instant':
      return [isInstant, INSTANT_RULE];
    case 'boolean':
      return [(value) => typeof value === 'boolean', 'must be true or false'];
    case 'object':
      return [
        isMetadata,
        `must be an object of at most ${METADATA.keys} keys, ${METADATA.levels} levels and ${METADATA.bytes} bytes of JSON`,
      ];
  }
}

/** Checks the object of a line. Returns the row, or its errors. */
function toRow(rules: LineRules, line: number, value: unknown): ImportRow | readonly LineError[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [{ line, detail: 'must be a JSON object' }];
  const fields = value as Record<string, unknown>;
  const errors: LineError[] = rules.fields
    .filter(([field, holds]) => !holds(fields[field]))
    .map(([field, , detail]) => ({ line, field, detail }));
  if (Object.keys(fields).some((field) => !rules.known.has(field))) {
    errors.push({ line, detail: `has an unknown field; known are ${writtenFields(rules).join(', ')}` });
  }
  if (errors.length > 0) return errors;
  return {
    line,
    email: fields['email'] as string,
    ...valuesOf(rules, fields),
    reactivate: (fields['reactivate'] ?? false) as boolean,
  };
}

/** The business columns of checked fields, with the defaults of those that are left out. */
function valuesOf({ columns }: LineRules, fields: Readonly<Record<string, unknown>>): Partial<BusinessValues> {
  const values = columns.map(([name, column]) => [name, fields[name] ?? (column.kind === 'status' ? undefined : column.default)]);
  return Object.fromEntries(values) as Partial<BusinessValues>;
}

/** Maximum length (bytes) of a line: the API's limit of a body. */
const MAX_LINE_BYTES = 64 * 1024;

/** A line that was read: a row to write, or errors. */
export type ParsedLine = ImportRow | readonly LineError[];

/** The file cannot be read any further. The message says where, and quotes nothing. */
export class UnreadableFileError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnreadableFileError';
  }
}

const KINDS: ReadonlyMap<string, BusinessColumn['kind']> = new Map([
  ...BUSINESS_COLUMN_LIST.map(([name, { kind }]) => [name, kind] as const),
  [REACTIVATE, 'boolean'],
]);
const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, false: false };
/** Number of parsed lines that are yielded together. */
const CHUNK_LINES = 256;

/** A record and the line on which it ends. */
interface CsvRecord {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number; readonly error?: CsvError };
}

/**
 * Parses CSV (RFC 4180) with a header. An empty cell means that the field is not given, so a plan cannot be empty. `metadata` is JSON.
 * A record with more or fewer cells than the header is an error of its line; a quote that is never closed makes the file unreadable.
 * @throws UnreadableFileError
 */
export async function* csvLines(chunks: AsyncIterable<Buffer>, rules: LineRules): AsyncGenerator<ParsedLine[], void, void> {
  const parser = parse({
    columns: (names: readonly string[]) => header(rules, names),
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_LINE_BYTES,
  });
  const source = Readable.from(decoded(chunks));
  // An error of one stream must end the other: pipe alone leaves both open.
  source.once('error', (error) => parser.destroy(error));
  source.pipe(parser);
  let parsed: ParsedLine[] = [];
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRecord>) {
      parsed.push(
        info.error ? [{ line: info.lines, detail: 'has more or fewer cells than the header' }] : toRowOfCells(rules, info.lines, record),
      );
      if (parsed.length < CHUNK_LINES) continue;
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

/** Decodes UTF-8 and drops a byte order mark. A file in another encoding is refused: its text would be imported wrongly. */
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

/** Checks the header before any row is read. @throws UnreadableFileError naming missing columns, or the known ones. */
function header({ lacking, known }: LineRules, names: readonly string[]): string[] {
  const given = names.map((name) => name.trim().toLowerCase());
  const missing = ['email', 'status'].filter((name) => !given.includes(name));
  if (missing.length > 0) throw new UnreadableFileError(`Line 1 must name the columns; missing: ${missing.join(', ')}`);
  const unset = lacking.filter((name) => given.includes(name));
  if (unset.length > 0) throw new UnreadableFileError(`Line 1 names columns that the table of Database 1 lacks: ${unset.join(', ')}`);
  if (!given.every((name) => known.has(name))) {
    const names = [...known].filter((name) => !lacking.includes(name));
    throw new UnreadableFileError(`Line 1 names an unknown column; known are ${names.join(', ')}`);
  }
  if (new Set(given).size < given.length) throw new UnreadableFileError('Line 1 names a column twice');
  return given;
}

function toRowOfCells(rules: LineRules, line: number, record: Readonly<Record<string, string>>): ParsedLine {
  const value: Record<string, unknown> = {};
  const inexact: LineError[] = [];
  for (const [name, cell] of Object.entries(record)) {
    if (cell === '') continue;
    const text = unescapeFormula(cell);
    const kind = KINDS.get(name);
    value[name] = cellValue(kind, text);
    if (kind === 'object' && typeof value[name] === 'object') inexact.push(...inexactValues(line, text, name));
  }
  return inexact.length > 0 ? inexact : toRow(rules, line, value);
}

function cellValue(kind: BusinessColumn['kind'] | undefined, text: string): unknown {
  if (kind === 'boolean') return BOOLEANS[text.toLowerCase()] ?? text;
  return kind === 'object' ? asJson(text) : text;
}

/**
 * Returns an error for each number in `metadata` that would be stored with another value. Columns that an import ignores may have such numbers.
 * @param json the text of a line, or of its field `root`.
 */
function inexactValues(line: number, json: string, root?: string): LineError[] {
  return inexactNumbers(json, root)
    .filter(({ field }) => KINDS.get(field) === 'object')
    .map((error) => ({ line, ...error }));
}

/** Invalid JSON is returned as a string, which later fails the check of an object. */
function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const CSV_ERRORS: Readonly<Partial<Record<CsvError['code'], string>>> = {
  CSV_QUOTE_NOT_CLOSED: 'a quote is not closed',
  CSV_INVALID_CLOSING_QUOTE: 'text follows a closing quote',
  INVALID_OPENING_QUOTE: 'a cell without quotes contains a quote',
  CSV_MAX_RECORD_SIZE: `a record is longer than ${MAX_LINE_BYTES} characters`,
};

/** Replaces the parser's own message, which quotes the file. */
function unreadable(error: CsvError): UnreadableFileError {
  const { lines } = error as unknown as { lines?: number };
  return new UnreadableFileError(`Near line ${lines ?? 'unknown'} ${CSV_ERRORS[error.code] ?? 'the CSV is malformed'}`);
}

const LINE_FEED = 0x0a;

/** Parses NDJSON: one JSON object (RFC 8259) a line. Holds one line and one chunk at most; a line that is too long is skipped without holding it. */
export async function* ndjsonLines(chunks: AsyncIterable<Buffer>, rules: LineRules): AsyncGenerator<ParsedLine[], void, void> {
  let line = 0;
  /** The beginning of a line that is not complete yet. */
  let pieces: Buffer[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    const parsed: ParsedLine[] = [];
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      line += 1;
      const bytes = end - from + held;
      const text =
        held === 0 ? chunk.subarray(from, end) : bytes > MAX_LINE_BYTES ? chunk : Buffer.concat([...pieces, chunk.subarray(from, end)]);
      push(rules, parsed, line, text, bytes);
      pieces = [];
      held = 0;
      from = end + 1;
    }
    if (from < chunk.length) {
      held += chunk.length - from;
      if (held > MAX_LINE_BYTES) pieces = [];
      else pieces.push(chunk.subarray(from));
    }
    yield parsed;
  }
  if (held === 0) return;
  const last: ParsedLine[] = [];
  push(rules, last, line + 1, Buffer.concat(pieces), held);
  yield last;
}

/** Parses one line. Empty lines are counted, but yield nothing. */
function push(rules: LineRules, parsed: ParsedLine[], line: number, text: Buffer, bytes: number): void {
  if (bytes > MAX_LINE_BYTES) {
    parsed.push([{ line, detail: `is longer than ${MAX_LINE_BYTES} bytes` }]);
    return;
  }
  if (!isUtf8(text)) {
    parsed.push([{ line, detail: 'is not UTF-8' }]);
    return;
  }
  const json = text.toString().trim();
  if (json === '') return;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    parsed.push([{ line, detail: 'is not JSON' }]);
    return;
  }
  const inexact = inexactValues(line, json);
  parsed.push(inexact.length > 0 ? inexact : toRow(rules, line, value));
}
