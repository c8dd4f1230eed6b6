import { STATUS_TRANSITIONS } from '#events';

const quoted = (status: string): string => `'${status.replaceAll("'", "''")}'`;
const isAmong = (statuses: readonly string[]): string => `after IN (${statuses.map(quoted).join(', ')})`;

/** The allowed status transitions as a SQL expression. */
const TRANSITION_EXPRESSION = `
  SELECT before = after OR CASE before
${Object.entries(STATUS_TRANSITIONS)
  .map(([status, { next, reactivated }]) => `    WHEN ${quoted(status)} THEN ${conditionFor(next, reactivated)}`)
  .join('\n')}
    ELSE true END`;

function conditionFor(next: readonly string[], reactivated: readonly string[]): string {
  const conditions = [
    ...(next.length > 0 ? [isAmong(next)] : []),
    ...(reactivated.length > 0 ? [`(reactivate AND ${isAmong(reactivated)})`] : []),
  ];
  return conditions.length > 0 ? conditions.join(' OR ') : 'false';
}

/** Returns whether a status may change from `before` to `after`. */
export const CREATE_TRANSITION_FUNCTION = `
CREATE OR REPLACE FUNCTION subscription_transition_allowed(before text, after text, reactivate boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$${TRANSITION_EXPRESSION}
$$`;
