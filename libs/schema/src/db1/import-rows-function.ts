import { BUSINESS_COLUMN_LIST, type BusinessColumn } from '#events';
import { columnOf, ENTER_ROLE_PATH, hasKey, keyOperator, LEAVE_ROLE_PATH, type SubscriptionTable } from '#postgres';
import { literal, touched, writtenColumns } from './column-list.js';

const BUSINESS_COLUMNS: ReadonlyMap<string, BusinessColumn> = new Map(BUSINESS_COLUMN_LIST);

/** Returns the value of a field of a line as SQL. A field that the line omits gets its default. */
function valueOf(field: string, name: string): string {
  const column = BUSINESS_COLUMNS.get(field)!;
  return column.kind === 'status' || column.default === null ? `f.${name}` : `coalesce(f.${name}, ${literal(column.default)}) AS ${name}`;
}

/**
 * Writes the lines of an import: the put of `subscription_sync.write` for many lines, whose status transitions are checked under the row's lock.
 *
 * - `lines`: a JSON array of objects with `line`, an ascending number, `reactivate`, and the business columns; other keys are ignored. Lines
 *   of one email are written one after the other, as if each were a request of its own.
 * - `refused`: a JSON array of `line`, `before` (the row's status), `status` (the line's) and `reactivate` for the lines whose status
 *   transition is not allowed. Lines that were neither refused nor written are equal to the existing row.
 *
 * The search_path becomes that of the service's role, for the table's triggers, after the lines have been read by the service's functions.
 *
 * A round writes the first remaining line of each email, so there is usually one round: one upsert whose WHERE checks the newest row
 * (ADR 15). It also locks the rows that it does not write, so that the next statement sees the reason. Rows are locked in the order of their
 * emails: two imports cannot deadlock on each other's rows, and a later round takes no lock that the first one does not hold.
 */
export function createImportRowsFunction(table: SubscriptionTable): string {
  const { sql, key, status, keyColumn } = table;
  const columns = writtenColumns(table);
  const list = (prefix = ''): string => columns.map(({ name }) => prefix + name).join(', ');
  const created = touched(
    table,
    ['created_at', 'updated_at'].filter((field) => columnOf(table, field)?.hasDefault === false),
  );
  const updated = touched(table, ['updated_at']);
  const type = keyColumn.typeOfAnyLength;
  // A column of another name would be given the value of a field that is not its own.
  const isSame = columns.every(({ field, column }) => field === column) && !['line', 'reactivate'].some((name) => columnOf(table, name));
  const line = isSame
    ? 'l.line'
    : `jsonb_build_object(${columns.map(({ field, column }) => `${literal(column)}, l.line->'${field}'`).join(', ')})`;
  return `
CREATE OR REPLACE FUNCTION subscription_sync.import_rows(lines jsonb, context jsonb) RETURNS TABLE (created integer, updated integer, refused jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  inserted integer;
  replaced integer;
  left_out jsonb;
  not_allowed jsonb;
  search_path text;
BEGIN
  created := 0;
  updated := 0;
  refused := '[]';
  PERFORM subscription_sync.set_context(context);
  -- For the trigger's flag. Each line's own value is checked below, so everything that is written is allowed.
  IF lines @> '[{"reactivate": true}]' THEN PERFORM set_config('subscription_sync.reactivate', 'on', true); END IF;
  WHILE lines IS NOT NULL LOOP
    WITH given AS MATERIALIZED (
      SELECT l.line, l.line @> '{"reactivate": true}' AS reactivate, k.email, subscription_sync.existing_key(k.email) AS written,
        ${columns.map(({ field, name }) => valueOf(field, name)).join(', ')},
        row_number() OVER (PARTITION BY k.email ORDER BY (l.line->>'line')::bigint) AS round
      FROM jsonb_array_elements(lines) l(line), jsonb_populate_record(NULL::${sql}, ${line}) f,
        LATERAL (SELECT subscription_sync.normalize_email(l.line->>'email') AS email) k
    ), written AS (
      INSERT INTO ${sql} AS s (${[key, list(), ...created].join(', ')})
      SELECT ${['g.written', list('g.'), ...created.map(() => 'clock_timestamp()')].join(', ')} FROM given g
      WHERE g.round = 1 AND (SELECT ${ENTER_ROLE_PATH} FROM (SELECT count(*) FROM given) read) IS NOT NULL ORDER BY g.written
      ON CONFLICT (${key}) DO UPDATE SET (${[list(), ...updated].join(', ')}) = ROW(${[list('excluded.'), ...updated.map(() => 'clock_timestamp()')].join(', ')})
      WHERE ROW(${list('s.')})::record OPERATOR(pg_catalog.*<>) ROW(${list('excluded.')})::record
        AND (subscription_sync.transition_allowed(s.${status}::text, excluded.${status}::text, false)
          OR subscription_sync.transition_allowed(s.${status}::text, excluded.${status}::text, true)
            AND excluded.${key} ${keyOperator(table, '=')} ANY (SELECT g.written FROM given g WHERE g.round = 1 AND g.reactivate))
      RETURNING s.${key} AS written, s.xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE w.is_new), count(*) FILTER (WHERE NOT w.is_new),
      jsonb_agg(g.line - 'metadata' || jsonb_build_object('written', g.written)) FILTER (WHERE g.round = 1 AND w.written IS NULL), jsonb_agg(g.line) FILTER (WHERE g.round > 1)
    INTO inserted, replaced, left_out, lines
    FROM given g LEFT JOIN written w ON w.written ${keyOperator(table, '=')} g.written AND g.round = 1;
    search_path := ${LEAVE_ROLE_PATH};
    created := created + inserted;
    updated := updated + replaced;

    SELECT jsonb_agg(jsonb_build_object('line', l.line->'line', 'before', s.${status}, 'status', l.line->'status', 'reactivate', l.line->'reactivate'))
    INTO not_allowed
    FROM jsonb_array_elements(left_out) l(line) JOIN ${sql} s ON ${hasKey(table, 's', `(l.line->>'written')::${type}`)}
    WHERE NOT subscription_sync.transition_allowed(s.${status}::text, l.line->>'status', l.line @> '{"reactivate": true}');
    refused := refused || coalesce(not_allowed, '[]');
  END LOOP;
  search_path := ${ENTER_ROLE_PATH};
  RETURN NEXT;
END $$`;
}
