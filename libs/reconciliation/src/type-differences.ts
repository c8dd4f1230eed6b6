import { escapeIdentifier, escapeLiteral } from 'pg';
import type { DataSource } from 'typeorm';
import type { SubscriptionTable, TableColumn } from '#postgres';
import { replicatedPairs, type Tables } from './row-fingerprint.js';

/** Labels of the enum types of a table's columns, by column. */
export type EnumLabels = ReadonlyMap<string, readonly string[]>;

const SELECT_ENUMS = `
SELECT a.attname::text AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
FROM pg_attribute a JOIN pg_enum e ON e.enumtypid = a.atttypid WHERE a.attrelid = to_regclass($1) AND NOT a.attisdropped GROUP BY a.attname`;

/**
 * Returns the differences between the definitions of the tables because of which Database 2 may refuse rows or change values: one line for each
 * column, with the statement that corrects it.
 */
export async function findTypeDifferences(db1: DataSource, db2: DataSource, tables: Tables): Promise<string[]> {
  const [one, two] = await Promise.all([readEnums(db1, tables.db1), readEnums(db2, tables.db2)]);
  return typeDifferences(tables, one, two);
}

async function readEnums(database: DataSource, { sql }: SubscriptionTable): Promise<EnumLabels> {
  const rows = await database.query<{ name: string; labels: string[] }[]>(SELECT_ENUMS, [sql]);
  return new Map(rows.map(({ name, labels }) => [name, labels]));
}

/** Returns the lines for tables and their enums. */
function typeDifferences(tables: Tables, enums1: EnumLabels, enums2: EnumLabels): string[] {
  const pairs = replicatedPairs(tables);
  const alter = `ALTER TABLE ${tables.db2.sql}`;
  const lines: string[] = [];
  for (const [one, two] of pairs) {
    const name = `${tables.db2.label}.${two.name}`;
    const column = escapeIdentifier(two.name);
    const loss = lossOf(one, two, enums1.get(one.name), enums2.get(two.name));
    if (loss !== undefined) {
      const remedy = loss.remedy ?? `${alter} ALTER COLUMN ${column} TYPE ${one.type}`;
      lines.push(`${name} is ${two.type}, and ${tables.db1.label}.${one.name} is ${one.type}: ${loss.effect}. In Database 2: ${remedy}`);
    }
    if (one.nullable && !two.nullable && two !== tables.db2.keyColumn) {
      lines.push(
        `${name} is NOT NULL, and ${tables.db1.label}.${one.name} may be NULL: such rows are refused. In Database 2: ${alter} ALTER COLUMN ${column} DROP NOT NULL`,
      );
    }
  }
  const replicated = new Set(pairs.map(([, two]) => two.name));
  for (const column of tables.db2.columns) {
    if (replicated.has(column.name) || column.nullable || column.hasDefault || column.generated) continue;
    const name = escapeIdentifier(column.name);
    lines.push(
      `${tables.db2.label}.${column.name} is NOT NULL without a default, and is not replicated: all new rows are refused. In Database 2: ${alter} ALTER COLUMN ${name} SET DEFAULT …, or ${alter} ALTER COLUMN ${name} DROP NOT NULL; or name it in COLUMNS`,
    );
  }
  return lines;
}

interface Loss {
  readonly effect: string;
  /** Replaces the statement that gives the column Database 1's type. */
  readonly remedy?: string;
}

const INTEGERS = ['smallint', 'integer', 'bigint'];
const TEXTS = new Set(['text', 'character varying', 'bpchar', 'character', 'citext', 'name']);
const REFUSED = 'values that do not fit are refused';

/** Returns what a value of `one` may lose in `two`. Types that are not known here are trusted if they are equal. */
function lossOf(
  one: TableColumn,
  two: TableColumn,
  labels1: readonly string[] | undefined,
  labels2: readonly string[] | undefined,
): Loss | undefined {
  if (labels2) return enumLoss(two, labels1, labels2);
  if (one.type === two.type) return undefined;
  const from = parse(one);
  const to = parse(two);
  if (TEXTS.has(to.base)) {
    // The text of any value fits in a column without a limit.
    if (to.limit === undefined && to.base !== 'name') return undefined;
    const longest = TEXTS.has(from.base) ? from.limit : labels1 && Math.max(...labels1.map((label) => label.length));
    return longest !== undefined && to.limit !== undefined && longest <= to.limit ? undefined : { effect: 'longer values are refused' };
  }
  if (TEXTS.has(from.base)) return { effect: REFUSED };
  if (INTEGERS.includes(from.base) && INTEGERS.includes(to.base))
    return INTEGERS.indexOf(from.base) <= INTEGERS.indexOf(to.base) ? undefined : { effect: 'larger numbers are refused' };
  if (from.base === 'numeric' || to.base === 'numeric') return numericLoss(from, to);
  return isTime(from) && isTime(to) ? timeLoss(from, to) : otherLoss(from, to);
}

function enumLoss(two: TableColumn, labels1: readonly string[] | undefined, labels2: readonly string[]): Loss | undefined {
  if (!labels1) return { effect: `values other than ${labels2.join(', ')} are refused` };
  const missing = labels1.filter((label) => !labels2.includes(label));
  if (missing.length === 0) return undefined;
  const remedy = missing.map((label) => `ALTER TYPE ${two.typeOfAnyLength} ADD VALUE ${escapeLiteral(label)}`).join('; ');
  return { effect: `rows with ${missing.join(', ')} are refused`, remedy };
}

/** Types of extensions and of users are printed with their schema, which may have another name in the other database. */
const SCHEMA_OF_TYPE = /^("([^"]|"")*"|[^".]+)\./;

/** A type without its modifier: `numeric(10,2)` has limit 10 and scale 2, `timestamp(3) with time zone` limit 3. */
interface ParsedType {
  readonly base: string;
  readonly limit: number | undefined;
  readonly scale: number | undefined;
}

function parse({ type, typeOfAnyLength }: TableColumn): ParsedType {
  const modifier = /\((\d+)(?:,(-?\d+))?\)/.exec(type);
  return {
    base: typeOfAnyLength.replace(SCHEMA_OF_TYPE, ''),
    limit: modifier ? Number(modifier[1]) : undefined,
    scale: modifier?.[2] === undefined ? undefined : Number(modifier[2]),
  };
}

/** Number of digits of the integer types. */
const DIGITS: Readonly<Record<string, number>> = { smallint: 5, integer: 10, bigint: 19 };

function numericLoss(from: ParsedType, to: ParsedType): Loss | undefined {
  if (to.base !== 'numeric') {
    if (to.base in DIGITS) return { effect: 'fractions and larger numbers are refused' };
    return to.base === 'real' || to.base === 'double precision' ? { effect: 'digits beyond its precision are lost' } : { effect: REFUSED };
  }
  if (to.limit === undefined) return undefined;
  const toScale = to.scale ?? 0;
  const fromScale = from.base in DIGITS ? 0 : from.limit === undefined ? Infinity : (from.scale ?? 0);
  const fromDigits = DIGITS[from.base] ?? (from.limit === undefined ? Infinity : from.limit - fromScale);
  const effects = [
    ...(fromScale > toScale ? [`values are rounded to ${toScale} decimal places`] : []),
    ...(fromDigits > to.limit - toScale ? ['larger numbers are refused'] : []),
  ];
  return effects.length === 0 ? undefined : { effect: effects.join(', and ') };
}

const WITH_ZONE = 'timestamp with time zone';
const WITHOUT_ZONE = 'timestamp without time zone';

const isTime = ({ base }: ParsedType): boolean => base === WITH_ZONE || base === WITHOUT_ZONE;

function timeLoss(from: ParsedType, to: ParsedType): Loss | undefined {
  const effects = [
    ...(from.base === WITHOUT_ZONE && to.base === WITH_ZONE ? ['times are taken for UTC'] : []),
    ...(from.base === WITH_ZONE && to.base === WITHOUT_ZONE ? ['times are stored in UTC'] : []),
    ...((to.limit ?? 6) < (from.limit ?? 6) ? [`seconds are rounded to ${to.limit} decimal places`] : []),
  ];
  return effects.length === 0 ? undefined : { effect: effects.join(', and ') };
}

/** Pairs of other types whose values all arrive. */
const WIDER = new Set([
  'json>jsonb',
  'jsonb>json',
  'real>double precision',
  'smallint>real',
  'smallint>double precision',
  'integer>double precision',
  'date>timestamp without time zone',
]);

function otherLoss(from: ParsedType, to: ParsedType): Loss | undefined {
  if (from.base === to.base && (to.limit === undefined || (from.limit !== undefined && from.limit <= to.limit))) return undefined;
  if (WIDER.has(`${from.base}>${to.base}`)) return undefined;
  if (from.base === 'date' && to.base === WITH_ZONE) return { effect: 'days begin at midnight UTC' };
  if (to.base === 'date') return { effect: 'the time of day is lost' };
  return { effect: REFUSED };
}
