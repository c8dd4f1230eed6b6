import { STATUS_TRANSITIONS } from '#events';

const quoted = (status: string): string => `'${status.replaceAll("'", "''")}'`;
const among = (statuses: readonly string[]): string => `after IN (${statuses.map(quoted).join(', ')})`;

/** The table of status transitions as a SQL expression. */
const TRANSITION_EXPRESSION = `
  SELECT before = after OR CASE before
${Object.entries(STATUS_TRANSITIONS)
  .map(([status, { next, reactivated }]) => `    WHEN ${quoted(status)} THEN ${judge(next, reactivated)}`)
  .join('\n')}
    ELSE true END`;

function judge(next: readonly string[], reactivated: readonly string[]): string {
  const judged = [...(next.length > 0 ? [among(next)] : []), ...(reactivated.length > 0 ? [`(reactivate AND ${among(reactivated)})`] : [])];
  return judged.length > 0 ? judged.join(' OR ') : 'false';
}

/** Whether a status may change from `before` to `after`. */
export const CREATE_TRANSITION_FUNCTION = `
CREATE OR REPLACE FUNCTION subscription_transition_allowed(before text, after text, reactivate boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$${TRANSITION_EXPRESSION}
$$`;
