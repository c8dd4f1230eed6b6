import { length } from 'class-validator';
import { BUSINESS_COLUMN_LIST, type BusinessColumn, type BusinessValues, type IllegalTransition } from '#events';
import { isPgText, jsonFlaws } from '#http';
import { columnOf, isWritable, type SubscriptionTable } from '#postgres';
import { EMAIL_RULE, INSTANT_RULE, isAcceptableEmail, isInstant, isMetadata, METADATA, notWritable, statusRule } from '#subscriptions';
import { REACTIVATE } from './csv.js';
import { DATE_RULES, toInstant } from './dates.js';
import { comparable, type FileOptions } from './import-options.js';

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
  /** The name of the field in the file, where it is another one. */
  readonly column?: string;
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

/** Returns the names of the fields of which an import into a table can be told the columns. */
export function importedFields(table: SubscriptionTable): string[] {
  return ['email', ...columnsOf(table).map(([name]) => name), REACTIVATE];
}

function columnsOf(table: SubscriptionTable): NamedColumn[] {
  return BUSINESS_COLUMN_LIST.filter(([name]) => isWritable(table, name));
}

/**
 * Returns the rules of PUT for a table, without its decorators, which take 30 times as long. A spec compares both.
 * @param shown the columns of an export.
 */
export function lineRules(
  table: SubscriptionTable,
  statuses: readonly string[],
  shown: readonly string[],
  options: FileOptions,
): LineRules {
  const columns = columnsOf(table);
  const lacking = BUSINESS_COLUMN_LIST.map(([name]): string => name).filter((name) => !columnOf(table, name));
  const fields: FieldRule[] = [
    ['email', isAcceptableEmail, EMAIL_RULE],
    ...columns.map(([name, column]) => fieldRule(name, column, statuses, options)),
    [REACTIVATE, (value) => value === undefined || typeof value === 'boolean', 'must be true or false'],
    ...lacking.map((name): FieldRule => [name, (value) => value === undefined, notWritable(table.label)]),
  ];
  return { fields, columns, lacking, known: new Set([...fields.map(([field]) => field), ...shown]) };
}

/** Returns the names of the fields that an import writes. */
function writtenFields({ columns }: LineRules): string[] {
  return ['email', ...columns.map(([name]) => name), REACTIVATE];
}

function fieldRule(name: string, column: BusinessColumn, statuses: readonly string[], options: FileOptions): FieldRule {
  const [holds, rule] = valueRule(column, statuses, options);
  const mayBeLeftOut = column.kind !== 'status';
  return [name, (value) => (mayBeLeftOut && value === undefined) || (column.nullable && value === null) || holds(value), rule];
}

function valueRule(
  column: BusinessColumn,
  statuses: readonly string[],
  { given, dateFormat }: FileOptions,
): readonly [holds: (value: unknown) => boolean, rule: string] {
  switch (column.kind) {
    case 'status':
      return [
        (value) => (statuses as readonly unknown[]).includes(value),
        statusRule(statuses) + (given ? '; status_map translates other values' : ''),
      ];
    case 'text':
      return [
        (value) => typeof value === 'string' && length(value, 1, column.maxLength) && isPgText(value),
        `must be 1 to ${column.maxLength} characters${column.nullable ? ', or null' : ''}`,
      ];
    case 'instant':
      return [isInstant, dateFormat ? DATE_RULES[dateFormat] : `${INSTANT_RULE}; date_format reads other dates`];
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
export const MAX_LINE_BYTES = 64 * 1024;

/** A line that was read: a row to write, or errors. */
export type ParsedLine = ImportRow | readonly LineError[];

/** The file cannot be read any further. The message says where, and quotes nothing. */
export class UnreadableFileError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnreadableFileError';
  }
}

/** The preview of a dry run: the fields for which the columns stand, and the values of the first lines. */
export interface Preview {
  delimiter: string | null;
  columns: { name: string; field: string | null }[];
  readonly lines: { line: number; values: Record<string, unknown> }[];
}

/** Maximum number of lines in a preview. */
const PREVIEW_LINES = 5;

/** Turns the lines of a file, whatever its format, into rows, according to the options. */
export class LineReader {
  /** Names of the known fields by their {@link comparable} form. */
  private readonly knownNames: ReadonlyMap<string, string>;
  private readonly written: ReadonlySet<string>;

  constructor(
    readonly rules: LineRules,
    readonly options: FileOptions,
    readonly preview: Preview | undefined,
  ) {
    this.knownNames = new Map([...rules.known].map((name) => [comparable(name), name]));
    this.written = new Set(writtenFields(rules));
  }

  /** Returns the field for which each column of a file stands; undefined for an unknown column. A column that was mapped goes before one that has the field's name. */
  fieldsOf(names: readonly string[]): (string | undefined)[] {
    const mapped = names.map((name) => this.options.columns.get(comparable(name)));
    return mapped.map((field, i) => {
      if (field !== undefined) return field;
      const known = this.knownNames.get(comparable(names[i]!));
      return known !== undefined && !mapped.includes(known) ? known : undefined;
    });
  }

  /** Reads a JSON value. Without options its members have the exact names of PUT. */
  readObject(line: number, value: unknown): ParsedLine {
    if (!this.options.given || typeof value !== 'object' || value === null || Array.isArray(value)) return toRow(this.rules, line, value);
    const members = Object.entries(value);
    const names = members.map(([name]) => name);
    const fields = this.fieldsOf(names);
    const known = members.flatMap(([name, item], i) => {
      const field = fields[i] ?? (this.options.ignoresUnknownColumns ? undefined : name);
      return field === undefined ? [] : [[field, item] as const];
    });
    const twice = known.find(([field], i) => known.findIndex(([other]) => other === field) !== i);
    if (twice) return [{ line, field: twice[0], detail: 'is given by two members of the line. Remove one of them' }];
    if (this.preview?.columns.length === 0) this.preview.columns = names.map((name, i) => ({ name, field: fields[i] ?? null }));
    return this.readFields(line, Object.fromEntries(known), (field) => names[fields.indexOf(field)]);
  }

  /** Reads the values of the fields of a line. */
  readFields(line: number, given: Readonly<Record<string, unknown>>, columnOfField: (field: string) => string | undefined): ParsedLine {
    const fields = this.options.given ? this.translate(given) : given;
    if (this.preview && this.preview.lines.length < PREVIEW_LINES) {
      this.preview.lines.push({ line, values: Object.fromEntries(Object.entries(fields).filter(([name]) => this.written.has(name))) });
    }
    const row = toRow(this.rules, line, fields);
    if (!isErrors(row)) return row;
    return row.map((error) => ({ ...error, ...otherName(error.field, columnOfField) }));
  }

  /**
   * Returns an error for each flaw of a JSON text ({@link jsonFlaws}). Columns that an import ignores may have any numbers. `json` is the text of
   * a line, or that of a cell.
   */
  flawsOf(line: number, json: string, value: unknown, cell?: { readonly field: string; readonly column: string }): LineError[] {
    const fieldOf = (name: string): string | undefined => cell?.field ?? (this.options.given ? this.fieldsOf([name])[0] : name);
    const storesNumbers = (name: string): boolean => {
      const field = fieldOf(name);
      return this.rules.columns.find(([column]) => column === field)?.[1].kind === 'object';
    };
    return jsonFlaws(json, value, { storesNumbers, ...(cell ? { root: cell.field } : {}) }).map((error) => {
      const field = fieldOf(error.field) ?? error.field;
      return { line, ...error, field, ...otherName(field, () => cell?.column ?? error.field) };
    });
  }

  private translate(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const { statusMap, defaultStatus, dateFormat } = this.options;
    const fields = { ...given };
    const status = fields['status'];
    if (status === undefined || status === null || status === '') {
      if (defaultStatus !== undefined) fields['status'] = defaultStatus;
    } else if (typeof status === 'string' || typeof status === 'boolean' || typeof status === 'number') {
      fields['status'] = statusMap.get(comparable(String(status))) ?? status;
    }
    if (dateFormat === undefined) return fields;
    for (const [name, { kind }] of this.rules.columns) {
      const value = fields[name];
      if (kind === 'instant' && typeof value === 'string') fields[name] = toInstant(value, dateFormat);
    }
    return fields;
  }
}

function isErrors(row: ParsedLine): row is readonly LineError[] {
  return Array.isArray(row);
}

/** Returns the column of a field whose name in the file is another one. A name that could contain an email is not quoted. */
function otherName(field: string | undefined, columnOfField: (field: string) => string | undefined): { column?: string } {
  const column = field === undefined ? undefined : columnOfField(field);
  return column === undefined || column === field || !isQuotable(column) ? {} : { column };
}

/** Whether the name of a column can be part of an error, which is stored: a file without a header has an email in its place. */
export function isQuotable(name: string): boolean {
  return /^[^@\p{C}]{1,64}$/u.test(name);
}
