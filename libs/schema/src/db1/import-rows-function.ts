import { BUSINESS_COLUMN_LIST } from '#events';
import { columnList, literal } from './column-list.js';

/** The values of a line. A column that the line omits gets its default. */
const GIVEN_VALUES = BUSINESS_COLUMN_LIST.map(([name, column]) =>
  column.kind === 'status' || column.default === null ? `f.${name}` : `coalesce(f.${name}, ${literal(column.default)}) AS ${name}`,
).join(', ');

/**
 * Writes the lines of an import: the put of `subscription_sync.write` for many lines, whose status transitions are checked under the row's lock.
 *
 * - `lines`: a JSON array of objects with `line`, an ascending number, `reactivate`, and the business columns; other keys are ignored. Lines
 *   of one email are written one after the other, as if each were a request of its own.
 * - `refused`: a JSON array of `line`, `before` (the row's status), `status` (the line's) and `reactivate` for the lines whose status
 *   transition is not allowed. Lines that were neither refused nor written are equal to the existing row.
 *
 * A round writes the first remaining line of each email, so there is usually one round: one upsert whose WHERE checks the newest row
 * (ADR 15). It also locks the rows that it does not write, so that the next statement sees the reason. Rows are locked in the order of their
 * emails: two imports cannot deadlock on each other's rows, and a later round takes no lock that the first one does not hold.
 */
export const CREATE_IMPORT_ROWS_FUNCTION = `
CREATE OR REPLACE FUNCTION subscription_sync.import_rows(lines jsonb, context jsonb) RETURNS TABLE (created integer, updated integer, refused jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  inserted integer;
  replaced integer;
  left_out jsonb;
  not_allowed jsonb;
BEGIN
  created := 0;
  updated := 0;
  refused := '[]';
  PERFORM subscription_sync.set_context(context);
  -- For the trigger's flag. Each line's own value is checked below, so everything that is written is allowed.
  IF lines @> '[{"reactivate": true}]' THEN PERFORM set_config('subscription_sync.reactivate', 'on', true); END IF;
  WHILE lines IS NOT NULL LOOP
    WITH given AS MATERIALIZED (
      SELECT l.line, l.line @> '{"reactivate": true}' AS reactivate, subscription_sync.normalize_email(f.email) AS email,
        ${GIVEN_VALUES},
        row_number() OVER (PARTITION BY subscription_sync.normalize_email(f.email) ORDER BY (l.line->>'line')::bigint) AS round
      FROM jsonb_array_elements(lines) l(line), jsonb_populate_record(NULL::subscriptions, l.line) f
    ), written AS (
      INSERT INTO subscriptions AS s (email, ${columnList()})
      SELECT g.email, ${columnList('g.')} FROM given g WHERE g.round = 1 ORDER BY g.email
      ON CONFLICT (email) DO UPDATE SET (${columnList()}) = ROW(${columnList('excluded.')})
      WHERE (${columnList('s.')}) IS DISTINCT FROM (${columnList('excluded.')})
        AND (subscription_sync.transition_allowed(s.status::text, excluded.status::text, false)
          OR subscription_sync.transition_allowed(s.status::text, excluded.status::text, true)
            AND excluded.email IN (SELECT g.email FROM given g WHERE g.round = 1 AND g.reactivate))
      RETURNING s.email, s.xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE w.is_new), count(*) FILTER (WHERE NOT w.is_new),
      jsonb_agg(g.line - 'metadata') FILTER (WHERE g.round = 1 AND w.email IS NULL), jsonb_agg(g.line) FILTER (WHERE g.round > 1)
    INTO inserted, replaced, left_out, lines
    FROM given g LEFT JOIN written w ON w.email = g.email AND g.round = 1;
    created := created + inserted;
    updated := updated + replaced;

    SELECT jsonb_agg(jsonb_build_object('line', l.line->'line', 'before', s.status, 'status', l.line->'status', 'reactivate', l.line->'reactivate'))
    INTO not_allowed
    FROM jsonb_array_elements(left_out) l(line) JOIN subscriptions s ON s.email = subscription_sync.normalize_email(l.line->>'email')
    WHERE NOT subscription_sync.transition_allowed(s.status::text, l.line->>'status', l.line @> '{"reactivate": true}');
    refused := refused || coalesce(not_allowed, '[]');
  END LOOP;
  RETURN NEXT;
END $$`;
