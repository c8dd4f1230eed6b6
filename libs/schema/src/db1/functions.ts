import type { MappingSettings } from '#config';
import { type StatusTransitions, transitionsFor } from '#events';
import { hasKey, imageExpression, type Query, type SubscriptionTable } from '#postgres';
import { CREATE_READ_VALUE, type FunctionSet } from '../install-functions.js';
import {
  CREATE_ANALYZE_FUNCTION,
  CREATE_PARTITION_FUNCTIONS,
  CREATE_PRUNE_AUDIT_FUNCTION,
  CREATE_PUBLICATION_FUNCTION,
  createEraseChanges,
  createLockRows,
} from '../owner-functions.js';
import { literal } from './column-list.js';
import { createImportRowsFunction } from './import-rows-function.js';
import {
  type ColumnNumbers,
  CREATE_APPEND_FUNCTION,
  createCatalogRow,
  createLogTrigger,
  createNormaliser,
  createTruncateTrigger,
} from './triggers.js';
import { createWriteFunctions } from './write-functions.js';

/** The table for which the functions of DB1 are made, and what the settings and the server say about it. */
export interface Db1FunctionOptions {
  readonly table: SubscriptionTable;
  readonly numbers: ColumnNumbers;
  /** Whether the server has ICU's root collation. */
  readonly hasIcu: boolean;
  /** Columns that the API shows besides the built-in ones; all if undefined. */
  readonly mapped: readonly string[] | undefined;
  readonly transitions: StatusTransitions;
}

/** Returns all functions of DB1 for the current columns of the table. */
function db1Functions(options: Db1FunctionOptions): FunctionSet {
  const { table, numbers, hasIcu, mapped, transitions } = options;
  return {
    marked: 'subscription_sync.log_change()',
    statements: [
      createNormaliser(hasIcu),
      createKeyFunctions(table),
      CREATE_READ_VALUE,
      CREATE_READ_IMAGE,
      createTransitionFunction(transitions),
      CREATE_APPEND_FUNCTION,
      createCatalogRow(table, numbers),
      createLogTrigger(table),
      createTruncateTrigger(table),
      createLockRows(table),
      CREATE_PARTITION_FUNCTIONS,
      CREATE_PUBLICATION_FUNCTION,
      CREATE_ANALYZE_FUNCTION,
      createEraseChanges(table),
      CREATE_PRUNE_AUDIT_FUNCTION,
      ...createWriteFunctions(table, mapped),
      createImportRowsFunction(table),
    ],
  };
}

const SELECT_FACTS = `
SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') AS icu,
  (SELECT attnum FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2) AS key,
  (SELECT attnum FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $3) AS status`;

/** Returns the functions for a database and the settings. */
export async function db1FunctionsFor(
  query: Query,
  table: SubscriptionTable,
  { columns, statuses, transitionsFile }: Pick<MappingSettings, 'columns' | 'statuses' | 'transitionsFile'>,
): Promise<FunctionSet> {
  const [found] = await query<ColumnNumbers & { icu: boolean }>(SELECT_FACTS, [table.sql, table.keyColumn.name, table.statusColumn.name]);
  const { icu, key, status } = found!;
  return db1Functions({
    table,
    numbers: { key, status },
    hasIcu: icu,
    mapped: columns?.map(({ db1 }) => db1),
    transitions: transitionsFor(transitionsFile?.transitions, table.statuses ?? statuses),
  });
}

/**
 * `subscription_sync.written_key` returns the email as the table's row may have it: as the newest change of the email had it, or normalised.
 * `subscription_sync.existing_key` returns the same in the column's type, or the normalised email where there is no such row.
 * The image of a row may have \u0000 in a json column, which PostgreSQL does not read.
 * Both keep the plans of their statements, because an import calls them for each line.
 * `subscription_sync.append_row` appends a change of a row as it is.
 */
function createKeyFunctions(table: SubscriptionTable): string {
  const { sql, key, keyColumn, columns } = table;
  const name = literal(keyColumn.name);
  const type = keyColumn.typeOfAnyLength;
  return `
CREATE OR REPLACE FUNCTION subscription_sync.written_key(email text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN coalesce(
    (SELECT replace(c.image, '\\u0000', '\\u0001')::json->>${name} FROM subscription_sync.changes c WHERE c.email = $1 ORDER BY c.version DESC LIMIT 1),
    (SELECT replace(p.image, '\\u0000', '\\u0001')::json->>${name} FROM subscription_sync.pruned_changes p WHERE p.email = $1),
    $1);
END $$;

CREATE OR REPLACE FUNCTION subscription_sync.existing_key(email text) RETURNS ${type} LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
  written ${type};
BEGIN
  IF NOT EXISTS (SELECT FROM ${sql} s WHERE ${hasKey(table, 's', `email::${type}`)}) THEN
    written := subscription_sync.written_key(email);
    IF EXISTS (SELECT FROM ${sql} s WHERE ${hasKey(table, 's', 'written')}) THEN
      RETURN written;
    END IF;
  END IF;
  RETURN email;
END $$;

CREATE OR REPLACE FUNCTION subscription_sync.append_row(operation text, written text) RETURNS bigint LANGUAGE sql AS $$
  SELECT subscription_sync.append_change($1, subscription_sync.normalize_email(s.${key}::text), ${imageExpression(columns, 's')})
  FROM ${sql} s WHERE ${hasKey(table, 's', `$2::${type}`)}
$$`;
}

/** `subscription_sync.read_image` returns a row's image as jsonb; one that jsonb cannot hold (\u0000, a number too large) as one text. */
const CREATE_READ_IMAGE = `
CREATE OR REPLACE FUNCTION subscription_sync.read_image(image text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN image::jsonb;
EXCEPTION WHEN data_exception THEN
  RETURN jsonb_build_object('', image);
END $$`;

/** Returns the function that tells whether a status may change from `before` to `after`. */
function createTransitionFunction(transitions: StatusTransitions): string {
  const cases = Object.entries(transitions).map(([status, entry]) => `    WHEN ${literal(status)} THEN ${conditionFor(entry)}`);
  const expression = cases.length > 0 ? `before = after OR CASE before\n${cases.join('\n')}\n    ELSE true END` : 'true';
  return `
CREATE OR REPLACE FUNCTION subscription_sync.transition_allowed(before text, after text, reactivate boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT ${expression}
$$`;
}

function conditionFor({ next, reactivated }: StatusTransitions[string]): string {
  const conditions = [
    ...(next.length > 0 ? [isAmong(next)] : []),
    ...(reactivated.length > 0 ? [`(reactivate AND ${isAmong(reactivated)})`] : []),
  ];
  return conditions.length > 0 ? conditions.join(' OR ') : 'false';
}

function isAmong(statuses: readonly string[]): string {
  return `after IN (${statuses.map(literal).join(', ')})`;
}
