import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';
import { length } from 'class-validator';
import { CsvError, parse } from 'csv-parse';
import {
  BUSINESS_COLUMN_LIST,
  type BusinessColumn,
  type BusinessValues,
  type IllegalTransition,
  ROW_COLUMN_NAMES,
  STATUSES,
} from '#events';
import { isPgText } from '#http';
import { EMAIL_RULE, INSTANT_RULE, isAcceptableEmail, isInstant, isMetadata, METADATA } from '#subscriptions';
import { REACTIVATE, unescapeFormula } from './csv.js';

/** A line that can be written, as the database takes it. */
export interface ImportRow extends Readonly<BusinessValues> {
  /** From 1. */
  readonly line: number;
  readonly email: string;
  /** As in PUT: lets a canceled or expired subscription begin again. */
  readonly reactivate: boolean;
}

/** What is wrong with a line. Never with a value of it: emails must not be kept with a job. */
export interface LineError extends Partial<IllegalTransition> {
  readonly line: number;
  /** Of what kind of problem it is, where it is not about the line alone. */
  readonly type?: '/problems/illegal-transition';
  readonly field?: string;
  readonly detail: string;
}

type FieldRule = readonly [field: string, holds: (value: unknown) => boolean, rule: string];

/** The rules of PUT, without its decorators, which take 30 times as long. A spec compares both. */
const RULES: readonly FieldRule[] = [
  ['email', isAcceptableEmail, EMAIL_RULE],
  ...BUSINESS_COLUMN_LIST.map(([name, column]) => fieldRule(name, column)),
  [REACTIVATE, (value) => value === undefined || typeof value === 'boolean', 'must be true or false'],
];
/** Columns of an export that an import ignores, so that an exported file can be imported as it is. */
const IGNORED = new Set(['version', 'created_at', 'updated_at']);
const KNOWN = new Set([...RULES.map(([field]) => field), ...IGNORED]);

function fieldRule(name: string, column: BusinessColumn): FieldRule {
  const [holds, rule] = valueRule(column);
  const mayBeLeftOut = column.kind !== 'status';
  return [name, (value) => (mayBeLeftOut && value === undefined) || (column.nullable && value === null) || holds(value), rule];
}

function valueRule(column: BusinessColumn): readonly [holds: (value: unknown) => boolean, rule: string] {
  switch (column.kind) {
    case 'status':
      return [(value) => (STATUSES as readonly unknown[]).includes(value), `must be one of ${STATUSES.join(', ')}`];
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

/** Checks an object that a line holds. @returns the row, or what is wrong with it. */
function toRow(line: number, value: unknown): ImportRow | readonly LineError[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [{ line, detail: 'must be a JSON object' }];
  const fields = value as Record<string, unknown>;
  const errors: LineError[] = RULES.filter(([field, holds]) => !holds(fields[field])).map(([field, , detail]) => ({ line, field, detail }));
  if (Object.keys(fields).some((field) => !KNOWN.has(field))) {
    errors.push({ line, detail: `has a field that is none of ${RULES.map(([field]) => field).join(', ')}` });
  }
  if (errors.length > 0) return errors;
  return {
    line,
    email: fields['email'] as string,
    ...valuesOf(fields),
    reactivate: (fields['reactivate'] ?? false) as boolean,
  };
}

/** The business columns of checked fields, with the defaults of those that are left out. */
function valuesOf(fields: Readonly<Record<string, unknown>>): BusinessValues {
  const values = BUSINESS_COLUMN_LIST.map(([name, column]) => [
    name,
    fields[name] ?? (column.kind === 'status' ? undefined : column.default),
  ]);
  return Object.fromEntries(values) as BusinessValues;
}

/** Longest line, bytes: the API's bound of a body. */
const LINE_BYTES = 64 * 1024;

/** Lines of a file as they are read: rows to write, and errors. */
export type ParsedLine = ImportRow | readonly LineError[];

/** The file can't be read any further. The message says where, and nothing of what stands there. */
export class UnreadableFileError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnreadableFileError';
  }
}

const TAKEN: readonly string[] = [...ROW_COLUMN_NAMES, REACTIVATE];
const KINDS: ReadonlyMap<string, BusinessColumn['kind']> = new Map([
  ...BUSINESS_COLUMN_LIST.map(([name, { kind }]) => [name, kind] as const),
  [REACTIVATE, 'boolean'],
]);
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
    const text = unescapeFormula(cell);
    value[name] = cellValue(KINDS.get(name), text);
  }
  return toRow(line, value);
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

const LINE_FEED = 0x0a;

/** JSON, one object a line (RFC 8259 each). Holds no more than a line and the chunk in hand; a line that is too long is skipped, not held. */
export async function* ndjsonLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<ParsedLine[], void, void> {
  let line = 0;
  /** The beginning of a line whose end has not come yet. */
  let pieces: Buffer[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    const parsed: ParsedLine[] = [];
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      line += 1;
      const bytes = end - from + held;
      const text =
        held === 0 ? chunk.subarray(from, end) : bytes > LINE_BYTES ? chunk : Buffer.concat([...pieces, chunk.subarray(from, end)]);
      push(parsed, line, text, bytes);
      pieces = [];
      held = 0;
      from = end + 1;
    }
    if (from < chunk.length) {
      held += chunk.length - from;
      if (held > LINE_BYTES) pieces = [];
      else pieces.push(chunk.subarray(from));
    }
    yield parsed;
  }
  if (held === 0) return;
  const last: ParsedLine[] = [];
  push(last, line + 1, Buffer.concat(pieces), held);
  yield last;
}

/** Empty lines count, and are no rows. */
function push(parsed: ParsedLine[], line: number, text: Buffer, bytes: number): void {
  if (bytes > LINE_BYTES) {
    parsed.push([{ line, detail: `is longer than ${LINE_BYTES} bytes` }]);
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
  parsed.push(toRow(line, value));
}
